/* slots.h -- where services and servers are in the table, and the lists that servers are in. */
#ifndef SLOTS_H
#define SLOTS_H

#include "table.h"

uint32_t slot_of(const struct table *table, const struct server *server);

void slot_push(struct table *table, uint32_t *head, uint32_t slot);
/* Leaves the server's own links as they were: schedulers ask a deleted server's predecessor. */
void slot_unlink(struct table *table, uint32_t *head, uint32_t slot);

/* The server of that address and port in a list, or NULL. */
struct server *slot_find(const struct table *table, uint32_t head, const struct dr_server *config);
/* The same among those that a service has now. */
struct server *server_find(const struct table *table, const struct service *service,
                           const uint8_t address[ADDRESS], uint16_t port);

/* A removed server whose counters need not be kept any more. */
bool slot_is_forgotten(const struct server *server, uint32_t now_s);

/* A slot that nobody uses, or NULL; a server's is all zeros. */
struct server *slot_for_server(struct table *table, uint32_t now_s);
struct service *slot_for_service(struct table *table, uint32_t now_s);

#endif
