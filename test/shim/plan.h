/* What the plan file says. Its grammar is in README.md. */
#ifndef SHIM_PLAN_H
#define SHIM_PLAN_H

#include "call.h"
#include "names.h"
#include <stdbool.h>
#include <stdint.h>

enum { RULE_LIMIT = 64, CONDITION_LIMIT = 4, MECHANISM_LIMIT = 32, PATH_LIMIT = 1024, PROFILE_LIMIT = 33 };

struct condition {
  enum {
    MECHANISM_IS,
    TEMPLATE_HAS,
    TEMPLATE_LACKS,
    KEY_IS,
    WRAPPED_IS,
    NO_DATA,
    OS_LOCKING,
    NO_PARAMETERS,
  } about;
  word number;
  struct trait trait;
};

/* A line that says what becomes of calls. */
struct rule {
  enum { ANSWER, ANSWER_FAILURE, HANG, CRASH, LATENCY } does;
  bool functions[FUNCTION_COUNT];
  word code;
  word fixed_us, random_us;
  struct condition conditions[CONDITION_LIMIT];
  int condition_count;
  /* Of the calls that it fits: so many pass first, so many are meant then (0: all); one in so many, by chance. */
  word after, count, one_in;
  /* What has been met, and where the chances stand: guarded by rules.c. */
  word met;
  uint64_t chance;
};

/* How a mechanism is done that the real module lacks, or does otherwise. */
enum behaviour {
  RFC5649,
  PKCS7_RFC3394,
  CBC_PAD_WRAP,
  GCM_WRAP,
  GCM_IV_APPENDED,
  GCM_IV_WRITTEN,
};
struct offer {
  word mechanism;
  enum behaviour behaviour;
  word iv_bytes;
};

/* 0: none. */
struct limit {
  word count, code;
};

struct plan {
  char module[PATH_LIMIT];
  char profile[PROFILE_LIMIT];
  word parallel;
  bool takes_parameters;
  /* An attribute that the real module doesn't know, and doesn't see; 0: none. */
  word taken_attribute;
  struct limit sessions, objects;
  word hidden[MECHANISM_LIMIT];
  int hidden_count;
  struct offer offers[MECHANISM_LIMIT];
  int offer_count;
  struct rule rules[RULE_LIMIT];
  int rule_count;
  /* Calls that go by it: guarded by plan.c. */
  int holders;
};

/* The plan as the file has it now, for the length of a call; NULL where it can't be read (which is told on stderr). */
struct plan *hold_plan(void);
void release_plan(struct plan *plan);
/* Whether the file still says this. */
bool is_current(const struct plan *plan);

/* Reads a plan, or says on stderr in which line it is wrong. */
bool parse_plan(const char *path, struct plan *plan);

const struct offer *offer_of(const struct plan *plan, word mechanism);
bool is_hidden(const struct plan *plan, word mechanism);

#endif
