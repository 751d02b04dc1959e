#include "plan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PROFILES: the folder of the profiles, given to the compiler. */

enum { LINE_LIMIT = 1024 };

/* The words of a line, one after the other. */
struct line {
  char *left;
};

static char *next(struct line *line) {
  return strtok_r(NULL, " \t\n", &line->left);
}

static bool next_number(struct line *line, word *number) {
  const char *text = next(line);
  return text != NULL && number_named(text, number);
}

static bool is(const char *text, const char *wanted) {
  return text != NULL && strcmp(text, wanted) == 0;
}

static bool parse_kind(struct line *line, struct trait *kind) {
  const char *text = next(line);
  return text != NULL && kind_named(text, kind);
}

/* "lacks NAME" or "NAME=VALUE" */
static bool parse_template(struct line *line, struct condition *condition) {
  char *text = next(line);
  if (text == NULL) return false;
  condition->about = is(text, "lacks") ? TEMPLATE_LACKS : TEMPLATE_HAS;
  if (condition->about == TEMPLATE_LACKS) {
    text = next(line);
    return text != NULL && attribute_named(text, &condition->trait.attribute);
  }
  char *value = strchr(text, '=');
  if (value == NULL) return false;
  *value = '\0';
  return attribute_named(text, &condition->trait.attribute) && value_named(value + 1, &condition->trait.value);
}

static bool parse_condition(struct line *line, struct condition *condition) {
  const char *about = next(line);
  if (is(about, "template")) return parse_template(line, condition);
  if (is(about, "mechanism")) {
    condition->about = MECHANISM_IS;
    return next_number(line, &condition->number);
  }
  if (is(about, "key") || is(about, "wrapped")) {
    condition->about = is(about, "key") ? KEY_IS : WRAPPED_IS;
    return parse_kind(line, &condition->trait);
  }
  static const struct {
    const char *name;
    int about;
  } PLAIN[] = {{"no-data", NO_DATA}, {"os-locking", OS_LOCKING}, {"no-parameters", NO_PARAMETERS}};
  for (size_t at = 0; at < sizeof PLAIN / sizeof *PLAIN; at += 1) {
    if (!is(about, PLAIN[at].name)) continue;
    condition->about = PLAIN[at].about;
    return true;
  }
  return false;
}

/* What may stand behind a rule, in any order. */
static bool parse_rest(struct line *line, struct rule *rule) {
  word seed = 1;
  for (const char *about = next(line); about != NULL; about = next(line)) {
    bool fits;
    if (is(about, "if") || is(about, "and"))
      fits = rule->condition_count < CONDITION_LIMIT && parse_condition(line, &rule->conditions[rule->condition_count++]);
    else if (is(about, "on-failure")) {
      fits = rule->does == ANSWER;
      rule->does = ANSWER_FAILURE;
    } else if (is(about, "after"))
      fits = next_number(line, &rule->after);
    else if (is(about, "for"))
      fits = next_number(line, &rule->count);
    else if (is(about, "one-in"))
      fits = next_number(line, &rule->one_in);
    else if (is(about, "seed"))
      fits = next_number(line, &seed);
    else
      fits = false;
    if (!fits) return false;
  }
  rule->chance = (seed + 1) * 0x9e3779b97f4a7c15u;
  return true;
}

static bool parse_rule(struct line *line, struct plan *plan, int does) {
  if (plan->rule_count == RULE_LIMIT) return false;
  struct rule *rule = &plan->rules[plan->rule_count++];
  rule->does = does;
  char *functions = next(line);
  if (functions == NULL || !functions_named(functions, rule->functions)) return false;
  if (does == ANSWER) {
    const char *code = next(line);
    if (code == NULL || !return_value_named(code, &rule->code)) return false;
  }
  return parse_rest(line, rule);
}

/* "latency FIXED [RANDOM [FUNCTIONS …]]" */
static bool parse_latency(struct line *line, struct plan *plan) {
  if (plan->rule_count == RULE_LIMIT) return false;
  struct rule *rule = &plan->rules[plan->rule_count++];
  rule->does = LATENCY;
  if (!next_number(line, &rule->fixed_us)) return false;
  const char *random = next(line);
  if (random != NULL && !number_named(random, &rule->random_us)) return false;
  char *functions = next(line);
  char all[] = "*";
  return functions_named(functions == NULL ? all : functions, rule->functions) && parse_rest(line, rule);
}

static bool parse_limit(struct line *line, struct plan *plan) {
  const char *of = next(line);
  if (!is(of, "sessions") && !is(of, "objects")) return false;
  struct limit *limit = is(of, "sessions") ? &plan->sessions : &plan->objects;
  limit->code = is(of, "sessions") ? CKR_SESSION_COUNT : CKR_DEVICE_MEMORY;
  if (!next_number(line, &limit->count)) return false;
  const char *code = next(line);
  return code == NULL || return_value_named(code, &limit->code);
}

/* "hide mechanism NUMBER …" */
static bool parse_hidden(struct line *line, struct plan *plan) {
  if (!is(next(line), "mechanism")) return false;
  int before = plan->hidden_count;
  for (const char *text = next(line); text != NULL; text = next(line))
    if (plan->hidden_count == MECHANISM_LIMIT || !number_named(text, &plan->hidden[plan->hidden_count++])) return false;
  return plan->hidden_count > before;
}

/* "offer mechanism NUMBER as BEHAVIOUR [BYTES]" */
static bool parse_offer(struct line *line, struct plan *plan) {
  static const char *const BEHAVIOURS[] = {
      [RFC5649] = "rfc5649",           [PKCS7_RFC3394] = "pkcs7-rfc3394",     [CBC_PAD_WRAP] = "cbc-pad-wrap",
      [GCM_WRAP] = "gcm-wrap",         [GCM_IV_APPENDED] = "gcm-iv-appended", [GCM_IV_WRITTEN] = "gcm-iv-written",
  };
  if (plan->offer_count == MECHANISM_LIMIT || !is(next(line), "mechanism")) return false;
  struct offer *offer = &plan->offers[plan->offer_count++];
  offer->iv_bytes = 12;
  if (!next_number(line, &offer->mechanism) || !is(next(line), "as")) return false;
  const char *behaviour = next(line);
  for (size_t at = 0; at < sizeof BEHAVIOURS / sizeof *BEHAVIOURS; at += 1) {
    if (!is(behaviour, BEHAVIOURS[at])) continue;
    offer->behaviour = at;
    const char *bytes = next(line);
    return bytes == NULL || (number_named(bytes, &offer->iv_bytes) && offer->iv_bytes <= 16);
  }
  return false;
}

/* "takes parameters", "takes attribute NAME" */
static bool parse_taken(struct line *line, struct plan *plan) {
  const char *what = next(line);
  if (is(what, "parameters")) return plan->takes_parameters = true;
  const char *name = is(what, "attribute") ? next(line) : NULL;
  return name != NULL && attribute_named(name, &plan->taken_attribute);
}

static bool copy_word(struct line *line, char *to, size_t room) {
  const char *text = next(line);
  return text != NULL && (size_t)snprintf(to, room, "%s", text) < room;
}

/* One profile may begin with another: the name is that of the outer one. */
static bool parse_profile(struct line *line, struct plan *plan) {
  char name[PROFILE_LIMIT], path[PATH_LIMIT + sizeof PROFILES];
  if (!copy_word(line, name, sizeof name) || strchr(name, '/') != NULL) return false;
  snprintf(path, sizeof path, "%s/%s.plan", PROFILES, name);
  if (!parse_plan(path, plan)) return false;
  memcpy(plan->profile, name, sizeof name);
  return true;
}

static bool parse_line(char *text, struct plan *plan) {
  struct line line;
  const char *verb = strtok_r(text, " \t\n", &line.left);
  if (verb == NULL || *verb == '#') return true;
  if (is(verb, "module")) return copy_word(&line, plan->module, sizeof plan->module);
  if (is(verb, "profile")) return parse_profile(&line, plan);
  if (is(verb, "parallel")) return next_number(&line, &plan->parallel);
  if (is(verb, "latency")) return parse_latency(&line, plan);
  if (is(verb, "limit")) return parse_limit(&line, plan);
  if (is(verb, "hide")) return parse_hidden(&line, plan);
  if (is(verb, "offer")) return parse_offer(&line, plan);
  if (is(verb, "takes")) return parse_taken(&line, plan);
  if (is(verb, "answer")) return parse_rule(&line, plan, ANSWER);
  if (is(verb, "hang")) return parse_rule(&line, plan, HANG);
  if (is(verb, "crash")) return parse_rule(&line, plan, CRASH);
  return false;
}

bool parse_plan(const char *path, struct plan *plan) {
  char text[LINE_LIMIT], words[LINE_LIMIT];
  FILE *file = fopen(path, "r");
  if (file == NULL) {
    fprintf(stderr, "module shim: %s can't be read\n", path);
    return false;
  }
  bool is_sound = true;
  for (int number = 1; is_sound && fgets(text, sizeof text, file) != NULL; number += 1) {
    memcpy(words, text, sizeof words);
    is_sound = parse_line(words, plan);
    if (!is_sound) fprintf(stderr, "module shim: %s:%d is no line of a plan: %s", path, number, text);
  }
  fclose(file);
  return is_sound;
}
