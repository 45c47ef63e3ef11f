/* engine.h -- the gate, for the parts of the border that live in files of their own. */
#ifndef ENGINE_H
#define ENGINE_H

#include "director.h"

/* Waits until no batch is under way; none begins before engine_leave(). */
struct director *engine_enter(struct dr_engine *engine);
void engine_leave(struct dr_engine *engine);

#endif
