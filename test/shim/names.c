#include "names.h"
#include <stdlib.h>
#include <string.h>

struct name {
  const char *text;
  word number;
};

/* v2.40 base §5.1, pkcs11t.h */
static const struct name RETURN_VALUES[] = {
    {"CKR_GENERAL_ERROR", 0x5},
    {"CKR_FUNCTION_FAILED", 0x6},
    {"CKR_ARGUMENTS_BAD", 0x7},
    {"CKR_CANT_LOCK", 0xa},
    {"CKR_ATTRIBUTE_READ_ONLY", 0x10},
    {"CKR_DATA_LEN_RANGE", 0x21},
    {"CKR_DEVICE_ERROR", 0x30},
    {"CKR_DEVICE_MEMORY", 0x31},
    {"CKR_DEVICE_REMOVED", 0x32},
    {"CKR_FUNCTION_NOT_SUPPORTED", 0x54},
    {"CKR_KEY_TYPE_INCONSISTENT", 0x63},
    {"CKR_KEY_NOT_WRAPPABLE", 0x69},
    {"CKR_KEY_UNEXTRACTABLE", 0x6a},
    {"CKR_MECHANISM_INVALID", 0x70},
    {"CKR_MECHANISM_PARAM_INVALID", 0x71},
    {"CKR_OPERATION_NOT_INITIALIZED", 0x91},
    {"CKR_SESSION_COUNT", 0xb1},
    {"CKR_SESSION_HANDLE_INVALID", 0xb3},
    {"CKR_TEMPLATE_INCOMPLETE", 0xd0},
    {"CKR_TEMPLATE_INCONSISTENT", 0xd1},
    {"CKR_TOKEN_NOT_PRESENT", 0xe0},
    {"CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT", 0xf2},
    {"CKR_USER_NOT_LOGGED_IN", 0x101},
    {"CKR_WRAPPING_KEY_TYPE_INCONSISTENT", 0x115},
};

static const struct name ATTRIBUTES[] = {
    {"class", CKA_CLASS}, {"token", CKA_TOKEN},     {"private", 0x2},       {"label", 0x3},
    {"value", 0x11},      {"key-type", 0x100},      {"id", 0x102},          {"sensitive", 0x103},
    {"encrypt", 0x104},   {"decrypt", 0x105},       {"wrap", 0x106},        {"unwrap", 0x107},
    {"sign", 0x108},      {"verify", 0x10a},        {"derive", 0x10c},      {"value-len", 0x161},
    {"local", 0x163},     {"extractable", 0x162},   {"modifiable", 0x170},  {"ec-params", 0x180},
    {"nss-db", 0xd5a0db00},
};

static const struct name CLASSES[] = {{"public", 2}, {"private", 3}, {"secret", 4}};
static const struct name KEY_TYPES[] = {{"rsa", 0}, {"ec", 3}, {"generic-secret", 0x10}, {"aes", 0x1f}};
static const struct name BOOLEANS[] = {{"false", 0}, {"true", 1}};

#define FUNCTION(name, count) {#name, F_##name},
static const struct name FUNCTION_NAMES[] = {FUNCTIONS(FUNCTION)};

#define FIND(names, text, number) find(names, sizeof names / sizeof *names, text, number)

static bool find(const struct name *names, word count, const char *text, word *number) {
  for (word at = 0; at < count; at += 1) {
    if (strcmp(names[at].text, text) != 0) continue;
    *number = names[at].number;
    return true;
  }
  return false;
}

bool number_named(const char *text, word *number) {
  char *end;
  *number = strtoul(text, &end, 0);
  return *text >= '0' && *text <= '9' && *end == '\0';
}

bool return_value_named(const char *text, word *code) {
  return number_named(text, code) || FIND(RETURN_VALUES, text, code);
}

bool attribute_named(const char *text, word *type) {
  return number_named(text, type) || FIND(ATTRIBUTES, text, type);
}

bool value_named(const char *text, word *value) {
  return number_named(text, value) || FIND(BOOLEANS, text, value) || FIND(CLASSES, text, value) ||
         FIND(KEY_TYPES, text, value);
}

bool kind_named(const char *text, struct trait *kind) {
  kind->attribute = CKA_CLASS;
  if (FIND(CLASSES, text, &kind->value)) return true;
  kind->attribute = CKA_KEY_TYPE;
  return FIND(KEY_TYPES, text, &kind->value);
}

bool functions_named(char *text, bool functions[FUNCTION_COUNT]) {
  if (strcmp(text, "*") == 0) {
    memset(functions, true, FUNCTION_COUNT);
    return true;
  }
  char *left;
  for (char *name = strtok_r(text, ",", &left); name != NULL; name = strtok_r(NULL, ",", &left)) {
    word function;
    if (!FIND(FUNCTION_NAMES, name, &function)) return false;
    functions[function] = true;
  }
  return true;
}
