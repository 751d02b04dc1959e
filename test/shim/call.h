/* A call on its way to the real module. */
#ifndef SHIM_CALL_H
#define SHIM_CALL_H

#include "cryptoki.h"
#include <stdbool.h>

struct call {
  enum function function;
  /* In the order of the standard. */
  word arguments[8];
};

/* A template in a call: how many attributes, and where. */
struct template {
  const struct attribute *attributes;
  word count;
};

/* Takes over the functions of the real module: a CK_FUNCTION_LIST. */
void set_real(const void *function_list);
/* Calls the real module, as it stands. */
word call_real(enum function function, const word *arguments);
#define REAL(name, ...) call_real(F_##name, (const word[]){__VA_ARGS__})

/* The mechanism of a call, or NULL where it has none. */
struct mechanism *mechanism_of(const struct call *call);
/* The session of a call, or 0 where it has none. */
word session_of(const struct call *call);
/* The key that a call works with (for C_WrapKey and C_UnwrapKey: the one that wraps), or 0. */
word key_of(const struct call *call);
/* How many templates a call has: at most two, the public key's before the private key's. */
int templates_of(const struct call *call, struct template templates[2]);

/* A number that is an attribute of an object; CK_UNAVAILABLE_INFORMATION where it has none. */
word number_of(word session, word object, word type);
/* Ends an operation of a session whose last call is not passed on: an error does that (v2.40 base §5.2). */
void end_operation(const struct call *call);

#endif
