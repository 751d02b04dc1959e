#include "rules.h"
#include "sessions.h"
#include <pthread.h>
#include <string.h>
#include <time.h>

/* xorshift64 (Marsaglia 2003) */
static uint64_t shifted(uint64_t state) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^ state << 17;
}

word random_below(word limit) {
  static __thread uint64_t state;
  if (state == 0) state = (uint64_t)(uintptr_t)&state ^ (uint64_t)time(NULL) ^ 0x9e3779b97f4a7c15u;
  state = shifted(state);
  return limit == 0 ? 0 : state % limit;
}

static const struct attribute *find(struct template template, word type) {
  for (word at = 0; at < template.count; at += 1)
    if (template.attributes[at].type == type) return &template.attributes[at];
  return NULL;
}

static bool has(struct template template, struct trait trait) {
  const struct attribute *attribute = find(template, trait.attribute);
  if (attribute == NULL || attribute->value == NULL) return false;
  word value = 0;
  /* A boolean is one byte and a number a word; on a machine whose first byte is the lowest. */
  if (attribute->size > sizeof value) return false;
  memcpy(&value, attribute->value, attribute->size);
  return value == trait.value;
}

static bool is_of_kind(const struct call *call, word object, struct trait kind) {
  if (object == 0) return false;
  word session = session_of(call);
  /* A private EC key isn't told from a public one by its type alone, nor does anyone ask. */
  return number_of(session, object, kind.attribute) == kind.value;
}

static bool lacks_data(const struct call *call) {
  switch (call->function) {
  case F_Encrypt:
  case F_Decrypt:
  case F_Digest:
  case F_Sign:
  case F_Verify:
    return call->arguments[1] == 0;
  default:
    return false;
  }
}

static bool holds(const struct condition *condition, const struct call *call) {
  struct template templates[2];
  int count = templates_of(call, templates);
  const word *initialize = call->function == F_Initialize ? (const word *)call->arguments[0] : NULL;
  switch (condition->about) {
  case MECHANISM_IS:
    return mechanism_in_use(call) == condition->number;
  case TEMPLATE_HAS:
    for (int at = 0; at < count; at += 1)
      if (has(templates[at], condition->trait)) return true;
    return false;
  case TEMPLATE_LACKS:
    for (int at = 0; at < count; at += 1)
      if (find(templates[at], condition->trait.attribute) == NULL) return true;
    return false;
  case KEY_IS:
    return is_of_kind(call, key_of(call), condition->trait);
  case WRAPPED_IS:
    if (call->function == F_UnwrapKey) return has(templates[0], condition->trait);
    return call->function == F_WrapKey && is_of_kind(call, call->arguments[3], condition->trait);
  case NO_DATA:
    return lacks_data(call);
  case OS_LOCKING:
    /* CK_C_INITIALIZE_ARGS (v2.40 base §3.6): four functions, the flags, and what is reserved. */
    return initialize != NULL && (initialize[4] & CKF_OS_LOCKING_OK) != 0;
  case NO_PARAMETERS:
    return call->function == F_Initialize && (initialize == NULL || initialize[5] == 0);
  }
  return false;
}

static bool fits(const struct rule *rule, const struct call *call) {
  if (!rule->functions[call->function]) return false;
  for (int at = 0; at < rule->condition_count; at += 1)
    if (!holds(&rule->conditions[at], call)) return false;
  return true;
}

/* Counts a call that the rule fits, and says whether it is one of those that are meant. */
static bool is_meant(struct rule *rule) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&lock);
  word met = rule->met++;
  bool meant = met >= rule->after && (rule->count == 0 || met - rule->after < rule->count);
  if (meant && rule->one_in > 0) {
    rule->chance = shifted(rule->chance);
    meant = rule->chance % rule->one_in == 0;
  }
  pthread_mutex_unlock(&lock);
  return meant;
}

struct rule *rule_for(struct plan *plan, const struct call *call, int does) {
  for (int at = plan->rule_count - 1; at >= 0; at -= 1) {
    struct rule *rule = &plan->rules[at];
    if ((int)rule->does == does && fits(rule, call) && is_meant(rule)) return rule;
  }
  return NULL;
}
