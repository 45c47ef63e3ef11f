/* changes.h -- what is done to the table: add, edit, delete. */
#ifndef CHANGES_H
#define CHANGES_H

#include "table.h"

/* Applies one change; the codes are those of enum dr_operation. */
int table_change(struct table *table, const struct dr_change *change, uint64_t now_ns);

#endif
