/* thresholds.h -- connections come to a server and go, and it is full or not. */
#ifndef THRESHOLDS_H
#define THRESHOLDS_H

#include "table.h"

void server_taken(struct server *server, bool is_template);
void server_released(struct server *server, bool is_template, uint32_t now_s);

#endif
