/* C_WrapKey and C_UnwrapKey by mechanisms that the real module lacks. */
#ifndef SHIM_WRAPPING_H
#define SHIM_WRAPPING_H

#include "plan.h"

word wrap_key(const struct call *call, enum behaviour behaviour);
word unwrap_key(const struct call *call, enum behaviour behaviour);

#endif
