/* changes.h -- what is done to the table: add, edit, delete. */
#ifndef CHANGES_H
#define CHANGES_H

#include "table.h"

/* Applies one change; the codes are those of enum dr_operation. */
int table_change(struct table *table, const struct dr_change *change, uint64_t now_ns);

/* The service's server of that address and port, or NULL. */
struct server *server_find(const struct table *table, const struct service *service,
                           const uint8_t address[ADDRESS], uint16_t port);

/* A slot that nobody uses, all zeros, or NULL. */
struct server *server_new(struct table *table, uint32_t now_s);

/* Connections come to a server and go: thresholds, and slots of removed servers. */
void server_taken(struct server *server, bool is_template);
void server_released(struct server *server, bool is_template, uint32_t now_s);

#endif
