/* Which line of a plan a call meets. */
#ifndef SHIM_RULES_H
#define SHIM_RULES_H

#include "plan.h"

/* The last line that says so of this call, or NULL. Counts are those of the plan, which begin anew when it changes. */
struct rule *rule_for(struct plan *plan, const struct call *call, int does);
word random_below(word limit);

#endif
