/*
 * A PKCS#11 module in front of another one, to be loaded as PKCS11_MODULE. It behaves as the file says that
 * MODULE_SHIM_PLAN names: README.md has its grammar.
 */
#define _GNU_SOURCE
#include "gcm.h"
#include "mechanisms.h"
#include "rules.h"
#include "sessions.h"
#include "wrapping.h"
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HANG_STEP_US = 20000 };

static void sleep_us(word us) {
  struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = (us % 1000000) * 1000};
  while (nanosleep(&left, &left) != 0) {
  }
}

static pthread_mutex_t places = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t place_left = PTHREAD_COND_INITIALIZER;
static word inside;

static void enter(const struct plan *plan) {
  pthread_mutex_lock(&places);
  while (plan->parallel > 0 && inside >= plan->parallel) pthread_cond_wait(&place_left, &places);
  inside += 1;
  pthread_mutex_unlock(&places);
}

static void leave(void) {
  pthread_mutex_lock(&places);
  inside -= 1;
  pthread_cond_signal(&place_left);
  pthread_mutex_unlock(&places);
}

static void write_padded(byte *field, const char *text) {
  memset(field, ' ', 32);
  memcpy(field, text, strlen(text));
}

/* It isn't the module behind it: to the service it is a device of its own. */
static word get_info(const struct call *call, const struct plan *plan) {
  word result = call_real(call->function, call->arguments);
  if (result != CKR_OK) return result;
  struct info *info = (struct info *)call->arguments[0];
  char description[33];
  snprintf(description, sizeof description, "Shim: %.26s", plan->profile[0] == '\0' ? "no profile" : plan->profile);
  write_padded(info->manufacturer_id, "Strongroom's tests");
  write_padded(info->library_description, description);
  info->library_version = (struct version){1, 0};
  return CKR_OK;
}

static word get_token_info(const struct call *call, const struct plan *plan) {
  word result = call_real(call->function, call->arguments);
  struct token_info *info = (struct token_info *)call->arguments[1];
  if (result == CKR_OK && plan->sessions.count > 0) info->max_session_count = plan->sessions.count;
  return result;
}

/* What is reserved is kept from a module that refuses it. */
static word initialize(const struct call *call, const struct plan *plan) {
  const word *given = (const word *)call->arguments[0];
  if (given == NULL || !plan->takes_parameters) return call_real(call->function, call->arguments);
  word arguments[6];
  memcpy(arguments, given, sizeof arguments);
  arguments[5] = 0;
  return REAL(Initialize, (word)arguments);
}

static word open_session(const struct call *call, const struct plan *plan) {
  if (plan->sessions.count > 0 && count_sessions() >= plan->sessions.count) return plan->sessions.code;
  return call_real(call->function, call->arguments);
}

/* What the token has of objects, of all its users. */
static word count_objects(word session) {
  struct session_info info;
  word own, found = 0, total = 0, handles[64];
  byte yes = 1;
  struct attribute of_token = {CKA_TOKEN, &yes, 1};
  if (REAL(GetSessionInfo, session, (word)&info) != CKR_OK) return 0;
  if (REAL(OpenSession, info.slot, CKF_SERIAL_SESSION, 0, 0, (word)&own) != CKR_OK) return 0;
  REAL(FindObjectsInit, own, (word)&of_token, 1);
  do {
    found = 0;
    REAL(FindObjects, own, (word)handles, 64, (word)&found);
    total += found;
  } while (found > 0);
  REAL(CloseSession, own);
  return total;
}

static bool makes_token_objects(const struct call *call) {
  struct template templates[2];
  for (int count = templates_of(call, templates), at = 0; at < count; at += 1)
    for (word place = 0; place < templates[at].count; place += 1) {
      const struct attribute *attribute = &templates[at].attributes[place];
      if (attribute->type == CKA_TOKEN && attribute->size == 1 && *(const byte *)attribute->value != 0)
        return call->function != F_SetAttributeValue;
    }
  return false;
}

static bool is_full(const struct call *call, const struct plan *plan) {
  return plan->objects.count > 0 && makes_token_objects(call) && count_objects(session_of(call)) >= plan->objects.count;
}

enum { ATTRIBUTE_LIMIT = 64 };

/* What the shim composes with a key, it does with a copy that has other uses: of one that may not be modified there is none. */
static word generate_key(const struct call *call) {
  struct attribute attributes[ATTRIBUTE_LIMIT];
  byte yes = 1;
  word arguments[8], count = call->arguments[3];
  if (count > ATTRIBUTE_LIMIT) return CKR_ARGUMENTS_BAD;
  memcpy(arguments, call->arguments, sizeof arguments);
  if (count > 0) memcpy(attributes, (const void *)call->arguments[2], count * sizeof *attributes);
  for (word at = 0; at < count; at += 1)
    if (attributes[at].type == CKA_MODIFIABLE) attributes[at] = (struct attribute){CKA_MODIFIABLE, &yes, 1};
  arguments[2] = (word)attributes;
  return call_real(call->function, arguments);
}

/* C_UnwrapKey as the real module may see it: without the attribute that it doesn't know. */
static struct call known_part(const struct call *call, const struct plan *plan, struct attribute room[ATTRIBUTE_LIMIT]) {
  const struct attribute *given = (const struct attribute *)call->arguments[5];
  struct call known = *call;
  word count = call->arguments[6];
  if (plan->taken_attribute == 0 || call->function != F_UnwrapKey || count > ATTRIBUTE_LIMIT) return known;
  known.arguments[5] = (word)room;
  known.arguments[6] = 0;
  for (word at = 0; at < count; at += 1)
    if (given[at].type != plan->taken_attribute) room[known.arguments[6]++] = given[at];
  return known;
}

static word perform_offered(const struct call *call, const struct offer *offer) {
  bool chooses_iv = offer->behaviour == GCM_IV_APPENDED || offer->behaviour == GCM_IV_WRITTEN;
  if (call->function == F_EncryptInit && chooses_iv) return begin_gcm(call, offer);
  if (call->function == F_WrapKey && !chooses_iv) return wrap_key(call, offer->behaviour);
  if (call->function == F_UnwrapKey && !chooses_iv) return unwrap_key(call, offer->behaviour);
  return call_real(call->function, call->arguments);
}

static word perform(const struct call *call, const struct plan *plan) {
  const struct mechanism *mechanism = mechanism_of(call);
  if (call->function == F_EncryptInit) set_iv(session_of(call), NULL, 0);
  if (is_full(call, plan)) return plan->objects.code;
  if (mechanism != NULL && is_hidden(plan, mechanism->type)) return CKR_MECHANISM_INVALID;
  const struct offer *offer = mechanism == NULL ? NULL : offer_of(plan, mechanism->type);
  if (offer != NULL) return perform_offered(call, offer);
  switch (call->function) {
  case F_Initialize:
    return initialize(call, plan);
  case F_GetInfo:
    return get_info(call, plan);
  case F_GetTokenInfo:
    return get_token_info(call, plan);
  case F_GetMechanismList:
    return list_mechanisms(call, plan);
  case F_GetMechanismInfo:
    return describe_mechanism(call, plan);
  case F_OpenSession:
    return open_session(call, plan);
  case F_GenerateKey:
    return generate_key(call);
  case F_Encrypt:
  case F_EncryptFinal:
    return encrypt_with_iv(call);
  default:
    return call_real(call->function, call->arguments);
  }
}

/* Until the plan says something else, if it ever does. */
static void hang(const struct plan *plan) {
  while (is_current(plan)) sleep_us(HANG_STEP_US);
}

static word answer(struct plan *plan, const struct call *call) {
  const struct rule *latency = rule_for(plan, call, LATENCY);
  if (latency != NULL) sleep_us(latency->fixed_us + random_below(latency->random_us));
  if (rule_for(plan, call, CRASH) != NULL) raise(SIGKILL);
  if (rule_for(plan, call, HANG) != NULL) hang(plan);
  const struct rule *instead = rule_for(plan, call, ANSWER);
  if (instead != NULL) {
    end_operation(call);
    return instead->code;
  }
  struct attribute room[ATTRIBUTE_LIMIT];
  const struct call known = known_part(call, plan, room);
  word result = perform(&known, plan);
  if (result == CKR_OK) note_session(call);
  if (result == CKR_OK || result == CKR_BUFFER_TOO_SMALL) return result;
  instead = rule_for(plan, call, ANSWER_FAILURE);
  return instead == NULL ? result : instead->code;
}

static word pass(struct call call) {
  struct plan *plan = hold_plan();
  if (plan == NULL) return CKR_GENERAL_ERROR;
  enter(plan);
  word result = answer(plan, &call);
  leave();
  release_plan(plan);
  return result;
}

#define TYPES_1 word a
#define TYPES_2 TYPES_1, word b
#define TYPES_3 TYPES_2, word c
#define TYPES_4 TYPES_3, word d
#define TYPES_5 TYPES_4, word e
#define TYPES_6 TYPES_5, word f
#define TYPES_8 TYPES_6, word g, word h
#define VALUES_1 a
#define VALUES_2 VALUES_1, b
#define VALUES_3 VALUES_2, c
#define VALUES_4 VALUES_3, d
#define VALUES_5 VALUES_4, e
#define VALUES_6 VALUES_5, f
#define VALUES_8 VALUES_6, g, h

#define PASS(name, count)                                                                                              \
  static word shim_##name(TYPES_##count) {                                                                             \
    return pass((struct call){F_##name, {VALUES_##count}});                                                            \
  }
FUNCTIONS(PASS)

static struct {
  struct version version;
  void (*all[FUNCTION_COUNT])(void);
} own = {.version = {2, 40},
#define OWN(name, count) [F_##name] = (void (*)(void))shim_##name,
         .all = {FUNCTIONS(OWN)}};

__attribute__((visibility("default"))) word C_GetFunctionList(word at);

static word load(void) {
  struct plan *plan = hold_plan();
  void *module = plan == NULL ? NULL : dlopen(plan->module, RTLD_NOW | RTLD_LOCAL);
  if (plan != NULL) release_plan(plan);
  void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");
  word (*list)(word);
  const void *functions;
  memcpy(&list, &symbol, sizeof list);
  if (symbol == NULL || list((word)&functions) != CKR_OK) return CKR_GENERAL_ERROR;
  set_real(functions);
  own.all[F_GetFunctionList] = (void (*)(void))C_GetFunctionList;
  return CKR_OK;
}

word C_GetFunctionList(word at) {
  static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
  static bool is_loaded;
  if (at == 0) return CKR_ARGUMENTS_BAD;
  pthread_mutex_lock(&loading);
  word result = is_loaded ? CKR_OK : load();
  is_loaded = result == CKR_OK;
  pthread_mutex_unlock(&loading);
  if (result == CKR_OK) *(void **)at = &own;
  return result;
}
