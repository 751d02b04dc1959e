/* Words of a plan that stand for numbers. */
#ifndef SHIM_NAMES_H
#define SHIM_NAMES_H

#include "cryptoki.h"
#include <stdbool.h>

/* An attribute with its value. */
struct trait {
  word attribute, value;
};

/* Each says whether the word is one that it knows; numbers are taken everywhere, in decimal or after 0x. */
bool number_named(const char *text, word *number);
bool return_value_named(const char *text, word *code);
bool attribute_named(const char *text, word *type);
/* Of a boolean, of a class or of a key type. */
bool value_named(const char *text, word *value);
/* What an object is: private, public or secret (its class), or rsa, ec, aes or generic-secret (its key type). */
bool kind_named(const char *text, struct trait *kind);
/* "*", or names without C_ with commas between them. */
bool functions_named(char *text, bool functions[FUNCTION_COUNT]);

#endif
