#include "call.h"
#include <string.h>

struct functions {
  struct version version;
  void (*all[FUNCTION_COUNT])(void);
};

static struct functions real;

static const byte COUNTS[] = {
#define COUNT(name, count) count,
    FUNCTIONS(COUNT)};

void set_real(const void *function_list) {
  memcpy(&real, function_list, sizeof real);
}

word call_real(enum function function, const word *a) {
  void (*at)(void) = real.all[function];
  switch (COUNTS[function]) {
  case 1:
    return ((word(*)(word))at)(a[0]);
  case 2:
    return ((word(*)(word, word))at)(a[0], a[1]);
  case 3:
    return ((word(*)(word, word, word))at)(a[0], a[1], a[2]);
  case 4:
    return ((word(*)(word, word, word, word))at)(a[0], a[1], a[2], a[3]);
  case 5:
    return ((word(*)(word, word, word, word, word))at)(a[0], a[1], a[2], a[3], a[4]);
  case 6:
    return ((word(*)(word, word, word, word, word, word))at)(a[0], a[1], a[2], a[3], a[4], a[5]);
  default:
    return ((word(*)(word, word, word, word, word, word, word, word))at)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
  }
}

struct mechanism *mechanism_of(const struct call *call) {
  switch (call->function) {
  case F_EncryptInit:
  case F_DecryptInit:
  case F_DigestInit:
  case F_SignInit:
  case F_SignRecoverInit:
  case F_VerifyInit:
  case F_VerifyRecoverInit:
  case F_GenerateKey:
  case F_GenerateKeyPair:
  case F_WrapKey:
  case F_UnwrapKey:
  case F_DeriveKey:
    return (struct mechanism *)call->arguments[1];
  default:
    return NULL;
  }
}

word session_of(const struct call *call) {
  switch (call->function) {
  case F_Initialize:
  case F_Finalize:
  case F_GetInfo:
  case F_GetFunctionList:
  case F_GetSlotList:
  case F_GetSlotInfo:
  case F_GetTokenInfo:
  case F_GetMechanismList:
  case F_GetMechanismInfo:
  case F_InitToken:
  case F_OpenSession:
  case F_CloseAllSessions:
  case F_WaitForSlotEvent:
    return 0;
  default:
    return call->arguments[0];
  }
}

word key_of(const struct call *call) {
  switch (call->function) {
  case F_EncryptInit:
  case F_DecryptInit:
  case F_SignInit:
  case F_SignRecoverInit:
  case F_VerifyInit:
  case F_VerifyRecoverInit:
  case F_WrapKey:
  case F_UnwrapKey:
  case F_DeriveKey:
    return call->arguments[2];
  default:
    return 0;
  }
}

int templates_of(const struct call *call, struct template templates[2]) {
  static const struct {
    enum function function;
    int at;
  } PLACES[] = {{F_CreateObject, 1}, {F_CopyObject, 2},       {F_GenerateKey, 2}, {F_GenerateKeyPair, 2},
                {F_UnwrapKey, 5},    {F_SetAttributeValue, 2}, {F_DeriveKey, 3},   {F_GenerateKeyPair, 4}};
  int found = 0;
  for (size_t place = 0; place < sizeof PLACES / sizeof *PLACES; place += 1) {
    if (PLACES[place].function != call->function) continue;
    const word *arguments = call->arguments + PLACES[place].at;
    templates[found] = (struct template){(const struct attribute *)arguments[0], arguments[1]};
    found += 1;
  }
  return found;
}

word number_of(word session, word object, word type) {
  word value = 0;
  struct attribute wanted = {type, &value, sizeof value};
  word result = REAL(GetAttributeValue, session, object, (word)&wanted, 1);
  return result == CKR_OK ? value : CK_UNAVAILABLE_INFORMATION;
}

void end_operation(const struct call *call) {
  static const struct {
    enum function one_shot, update, final;
  } OPERATIONS[] = {{F_Encrypt, F_EncryptUpdate, F_EncryptFinal},
                    {F_Decrypt, F_DecryptUpdate, F_DecryptFinal},
                    {F_Digest, F_DigestUpdate, F_DigestFinal},
                    {F_Sign, F_SignUpdate, F_SignFinal},
                    {F_Verify, F_VerifyUpdate, F_VerifyFinal}};
  byte output[32768];
  for (size_t which = 0; which < sizeof OPERATIONS / sizeof *OPERATIONS; which += 1) {
    if (call->function != OPERATIONS[which].one_shot && call->function != OPERATIONS[which].update &&
        call->function != OPERATIONS[which].final)
      continue;
    word size = sizeof output;
    /* C_VerifyFinal takes the size of the signature itself; an operation that can't be done in parts ends with an error. */
    word last = OPERATIONS[which].final == F_VerifyFinal ? 64 : (word)&size;
    memset(output, 0, sizeof output);
    if (call_real(OPERATIONS[which].final, (const word[]){call->arguments[0], (word)output, last}) == CKR_OK) continue;
    /*
     * One that isn't done in parts is still there, and ends when it is done with an empty message, whatever comes of it. A
     * message that is longer than a raw RSA key has SoftHSM2 end the process, by exit(5).
     */
    word signature_size = OPERATIONS[which].one_shot == F_Verify ? 1 : (word)&size;
    size = sizeof output;
    call_real(OPERATIONS[which].one_shot,
              (const word[]){call->arguments[0], (word)output, 0, (word)output, signature_size});
  }
}
