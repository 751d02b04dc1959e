/*
 * A PKCS#11 module in front of another one, as far away as a network HSM: every call waits for one of a few places inside,
 * then as long as it is told, and is passed on after that. To be loaded as PKCS11_MODULE.
 *
 *   SLOW_HSM_MODULE    path of the real module
 *   SLOW_HSM_PARALLEL  calls inside at once, of this process
 *   SLOW_HSM_LATENCY   a file with two numbers, read at each call: microseconds that it takes, and up to how many more
 *   SLOW_HSM_ANSWERS   a file with lines "Decrypt 0x30", read at each call: where the real C_Decrypt fails, this one answers
 *                      with that number; "* 0x30": every call does, and none is passed on
 *   SLOW_HSM_ONE_THREAD  where it is set, the module refuses to be called by several threads
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Every argument of every function of PKCS#11 is a word or fits in one (v2.40 base §5): that is all one has to know. */
typedef unsigned long word;
enum { CKR_OK = 0, CKR_GENERAL_ERROR = 5, CKR_ARGUMENTS_BAD = 7, CKR_CANT_LOCK = 10 };
enum { CKF_OS_LOCKING_OK = 2 };

struct version {
  unsigned char major, minor;
};

/* CK_INFO (v2.40 base §3.1), to the end of what is changed here. */
struct info {
  struct version cryptoki_version;
  unsigned char manufacturer_id[32];
  word flags;
  unsigned char library_description[32];
  struct version library_version;
};

/* The functions in the order of CK_FUNCTION_LIST (v2.40 base §3.6 and pkcs11f.h), with the number of their arguments. */
#define FUNCTIONS(F)                                                                                                   \
  F(Initialize, 1) F(Finalize, 1) F(GetInfo, 1) F(GetFunctionList, 1) F(GetSlotList, 3) F(GetSlotInfo, 2)              \
  F(GetTokenInfo, 2) F(GetMechanismList, 3) F(GetMechanismInfo, 3) F(InitToken, 4) F(InitPIN, 3) F(SetPIN, 5)          \
  F(OpenSession, 5) F(CloseSession, 1) F(CloseAllSessions, 1) F(GetSessionInfo, 2) F(GetOperationState, 3)             \
  F(SetOperationState, 5) F(Login, 4) F(Logout, 1) F(CreateObject, 4) F(CopyObject, 5) F(DestroyObject, 2)             \
  F(GetObjectSize, 3) F(GetAttributeValue, 4) F(SetAttributeValue, 4) F(FindObjectsInit, 3) F(FindObjects, 4)          \
  F(FindObjectsFinal, 1) F(EncryptInit, 3) F(Encrypt, 5) F(EncryptUpdate, 5) F(EncryptFinal, 3) F(DecryptInit, 3)      \
  F(Decrypt, 5) F(DecryptUpdate, 5) F(DecryptFinal, 3) F(DigestInit, 2) F(Digest, 5) F(DigestUpdate, 3)                \
  F(DigestKey, 2) F(DigestFinal, 3) F(SignInit, 3) F(Sign, 5) F(SignUpdate, 3) F(SignFinal, 3) F(SignRecoverInit, 3)   \
  F(SignRecover, 5) F(VerifyInit, 3) F(Verify, 5) F(VerifyUpdate, 3) F(VerifyFinal, 3) F(VerifyRecoverInit, 3)         \
  F(VerifyRecover, 5) F(DigestEncryptUpdate, 5) F(DecryptDigestUpdate, 5) F(SignEncryptUpdate, 5)                      \
  F(DecryptVerifyUpdate, 5) F(GenerateKey, 5) F(GenerateKeyPair, 8) F(WrapKey, 6) F(UnwrapKey, 8) F(DeriveKey, 6)      \
  F(SeedRandom, 3) F(GenerateRandom, 3) F(GetFunctionStatus, 1) F(CancelFunction, 1) F(WaitForSlotEvent, 3)

#define TYPES_1 word
#define TYPES_2 TYPES_1, word
#define TYPES_3 TYPES_2, word
#define TYPES_4 TYPES_3, word
#define TYPES_5 TYPES_4, word
#define TYPES_6 TYPES_5, word
#define TYPES_8 TYPES_6, word, word
#define NAMED_1 word a
#define NAMED_2 NAMED_1, word b
#define NAMED_3 NAMED_2, word c
#define NAMED_4 NAMED_3, word d
#define NAMED_5 NAMED_4, word e
#define NAMED_6 NAMED_5, word f
#define NAMED_8 NAMED_6, word g, word h
#define VALUES_1 a
#define VALUES_2 VALUES_1, b
#define VALUES_3 VALUES_2, c
#define VALUES_4 VALUES_3, d
#define VALUES_5 VALUES_4, e
#define VALUES_6 VALUES_5, f
#define VALUES_8 VALUES_6, g, h

struct functions {
  struct version version;
#define MEMBER(name, count) word (*name)(TYPES_##count);
  FUNCTIONS(MEMBER)
};

static struct functions *real;
static const char *latency_file;
static const char *answers_file;
static sem_t places;

static void sleep_us(word us) {
  struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = (us % 1000000) * 1000};
  while (nanosleep(&left, &left) != 0) {
  }
}

static word random_below(word limit) {
  static __thread uint64_t state;
  if (state == 0) state = (uint64_t)(uintptr_t)&state ^ (uint64_t)time(NULL) ^ 0x9e3779b97f4a7c15u;
  /* xorshift64 (Marsaglia 2003) */
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return limit == 0 ? 0 : state % limit;
}

static word latency_us(void) {
  word fixed = 0, random = 0;
  FILE *file = latency_file == NULL ? NULL : fopen(latency_file, "r");
  if (file == NULL) return 0;
  int found = fscanf(file, "%lu %lu", &fixed, &random);
  fclose(file);
  return found < 1 ? 0 : fixed + random_below(random);
}

static void enter(void) {
  while (sem_wait(&places) != 0) {
  }
  sleep_us(latency_us());
}

static void leave(void) {
  sem_post(&places);
}

/* What is planned for a function, or CKR_OK where nothing is. */
static word planned(const char *wanted) {
  char name[64];
  word answer = 0, result = CKR_OK;
  FILE *file = answers_file == NULL ? NULL : fopen(answers_file, "r");
  if (file == NULL) return CKR_OK;
  while (fscanf(file, "%63s %li", name, (long *)&answer) == 2)
    if (strcmp(name, wanted) == 0) result = answer;
  fclose(file);
  return result;
}

static word failed(const char *name, word result) {
  word instead = planned(name);
  return instead == CKR_OK ? result : instead;
}

#define FORWARD(name, count)                                                                                           \
  static word slow_##name(NAMED_##count) {                                                                             \
    enter();                                                                                                           \
    word result = planned("*");                                                                                        \
    if (result == CKR_OK) {                                                                                            \
      result = real->name(VALUES_##count);                                                                             \
      if (result != CKR_OK) result = failed(#name, result);                                                            \
    }                                                                                                                  \
    leave();                                                                                                           \
    return result;                                                                                                     \
  }
FUNCTIONS(FORWARD)

static void write_padded(unsigned char *field, const char *text) {
  memset(field, ' ', 32);
  memcpy(field, text, strlen(text));
}

/* CK_C_INITIALIZE_ARGS (v2.40 base §3.6): four functions, and the flags. */
static word own_initialize(word at) {
  const word *arguments = (const word *)at;
  if (arguments != NULL && (arguments[4] & CKF_OS_LOCKING_OK) != 0 && getenv("SLOW_HSM_ONE_THREAD") != NULL)
    return CKR_CANT_LOCK;
  return slow_Initialize(at);
}

/* It isn't the SoftHSM behind it: to the service it is a device of its own. */
static word own_info(word at) {
  word result = slow_GetInfo(at);
  if (result != CKR_OK) return result;
  struct info *info = (struct info *)at;
  write_padded(info->manufacturer_id, "Strongroom's tests");
  write_padded(info->library_description, "Slow HSM");
  info->library_version = (struct version){1, 0};
  return CKR_OK;
}

__attribute__((visibility("default"))) word C_GetFunctionList(word at);

static struct functions own = {
    .version = {2, 40},
#define OWN(name, count) .name = slow_##name,
    FUNCTIONS(OWN)};

static word load(void) {
  const char *path = getenv("SLOW_HSM_MODULE");
  void *module = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
  void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");
  word (*list)(word);
  memcpy(&list, &symbol, sizeof list);
  if (symbol == NULL || list((word)&real) != CKR_OK) return CKR_GENERAL_ERROR;
  const char *parallel = getenv("SLOW_HSM_PARALLEL");
  latency_file = getenv("SLOW_HSM_LATENCY");
  answers_file = getenv("SLOW_HSM_ANSWERS");
  sem_init(&places, 0, parallel == NULL ? 1 : (unsigned)strtoul(parallel, NULL, 10));
  own.Initialize = own_initialize;
  own.GetInfo = own_info;
  own.GetFunctionList = C_GetFunctionList;
  return CKR_OK;
}

word C_GetFunctionList(word at) {
  static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
  if (at == 0) return CKR_ARGUMENTS_BAD;
  pthread_mutex_lock(&loading);
  word result = real == NULL ? load() : CKR_OK;
  pthread_mutex_unlock(&loading);
  if (result == CKR_OK) *(struct functions **)at = &own;
  return result;
}
