/* explain.h -- one sentence of why: what a record means, in words. */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include <stddef.h>

#include "dr_trace.h"

/* Returns the length; not terminated, and cut off at `room`. */
size_t explain(const struct dr_record *record, char *out, size_t room);

#endif
