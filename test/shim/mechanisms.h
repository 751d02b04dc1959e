/* The list of mechanisms, as a plan changes it. */
#ifndef SHIM_MECHANISMS_H
#define SHIM_MECHANISMS_H

#include "plan.h"

word list_mechanisms(const struct call *call, const struct plan *plan);
word describe_mechanism(const struct call *call, const struct plan *plan);

#endif
