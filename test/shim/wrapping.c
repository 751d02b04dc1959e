/*
 * Each of them is RFC 5649 in another dress: the real module wraps by its own CKM_AES_KEY_WRAP_PAD, that is opened here by
 * single blocks, and what was in it is wrapped as the mechanism has it; C_UnwrapKey goes the other way. So the real module
 * goes on saying who may wrap what, and makes the objects.
 */
#include "wrapping.h"
#include "key-wrap.h"
#include <string.h>

enum { CKR_DATA_LEN_RANGE = 0x21 };

static struct mechanism real_mechanism = {CKM_AES_KEY_WRAP_PAD, NULL, 0};

/* A session of the shim's own, with a copy of the wrapping key that encrypts and decrypts too. The copy goes with it. */
struct bench {
  word session, key;
};

static word open_bench(word session, word key, struct bench *bench) {
  struct session_info info;
  word result = REAL(GetSessionInfo, session, (word)&info);
  if (result == CKR_OK) result = REAL(OpenSession, info.slot, CKF_SERIAL_SESSION, 0, 0, (word)&bench->session);
  if (result != CKR_OK) return result;
  byte yes = 1, no = 0;
  struct attribute changes[] = {{CKA_TOKEN, &no, 1}, {CKA_ENCRYPT, &yes, 1}, {CKA_DECRYPT, &yes, 1}};
  result = REAL(CopyObject, bench->session, key, (word)changes, 3, (word)&bench->key);
  if (result != CKR_OK) REAL(CloseSession, bench->session);
  return result;
}

/* How long a key is that stands, with zeros behind it, in so many bytes. */
static word length_of(const struct call *call, const byte *at, word limit) {
  word session = call->arguments[0], key = call->arguments[3];
  if (number_of(session, key, CKA_CLASS) == CKO_SECRET_KEY) {
    word length = number_of(session, key, CKA_VALUE_LEN);
    return length > limit - SEMIBLOCK && length <= limit ? length : limit;
  }
  /* A private key is PKCS #8: a SEQUENCE that tells its length (X.690 §8.1.3). */
  word head = 2, length = at[1];
  if (length > 0x80) {
    head += length - 0x80;
    length = 0;
    for (word place = 2; place < head; place += 1) length = length << 8 | at[place];
  }
  return head + length <= limit ? head + length : limit;
}

/* The key in the clear, as the real module wraps it. */
static word read_key(const struct call *call, const struct bench *bench, struct bytes *key) {
  struct bytes text = {.count = sizeof text.at};
  word result = REAL(WrapKey, call->arguments[0], (word)&real_mechanism, call->arguments[2], call->arguments[3],
                     (word)text.at, (word)&text.count);
  if (result == CKR_OK) result = unwrap_semiblocks(bench->session, bench->key, &text);
  if (result != CKR_OK) return result;
  key->count = length_of(call, text.at + SEMIBLOCK, text.count - SEMIBLOCK);
  memcpy(key->at, text.at + SEMIBLOCK, key->count);
  return CKR_OK;
}

static word wrap_padded(const struct bench *bench, const struct bytes *key, struct bytes *wrapped) {
  memset(wrapped, 0, sizeof *wrapped);
  padded_iv(wrapped->at, key->count);
  memcpy(wrapped->at + SEMIBLOCK, key->at, key->count);
  wrapped->count = SEMIBLOCK + (key->count + SEMIBLOCK - 1) / SEMIBLOCK * SEMIBLOCK;
  return wrap_semiblocks(bench->session, bench->key, wrapped);
}

/* PKCS#11 v3.0 §2.13: PKCS #7 padding to semiblocks, then RFC 3394, which takes two at the least. */
static word wrap_pkcs7(const struct bench *bench, const struct bytes *key, struct bytes *wrapped) {
  word padding = SEMIBLOCK - key->count % SEMIBLOCK;
  if (key->count + padding < 2 * SEMIBLOCK) return CKR_DATA_LEN_RANGE;
  memcpy(wrapped->at, DEFAULT_IV, SEMIBLOCK);
  memcpy(wrapped->at + SEMIBLOCK, key->at, key->count);
  memset(wrapped->at + SEMIBLOCK + key->count, (int)padding, padding);
  wrapped->count = SEMIBLOCK + key->count + padding;
  return wrap_semiblocks(bench->session, bench->key, wrapped);
}

static word unwrap_pkcs7(const struct bench *bench, const struct bytes *wrapped, struct bytes *key) {
  if (wrapped->count % SEMIBLOCK != 0 || wrapped->count < 3 * SEMIBLOCK) return CKR_WRAPPED_KEY_LEN_RANGE;
  struct bytes text = *wrapped;
  word result = unwrap_semiblocks(bench->session, bench->key, &text);
  if (result != CKR_OK) return result;
  word padding = text.at[text.count - 1];
  if (memcmp(text.at, DEFAULT_IV, SEMIBLOCK) != 0 || padding == 0 || padding > SEMIBLOCK) return CKR_WRAPPED_KEY_INVALID;
  for (word back = 1; back <= padding; back += 1)
    if (text.at[text.count - back] != padding) return CKR_WRAPPED_KEY_INVALID;
  key->count = text.count - SEMIBLOCK - padding;
  memcpy(key->at, text.at + SEMIBLOCK, key->count);
  return CKR_OK;
}

/* By a mechanism that the real module encrypts with, but doesn't wrap with. */
static word cipher(const struct bench *bench, enum function init, word mechanism, const struct bytes *from, struct bytes *to) {
  word result = call_real(init, (const word[]){bench->session, mechanism, bench->key});
  if (result != CKR_OK) return result;
  to->count = sizeof to->at;
  return call_real(init + 1,
                   (const word[]){bench->session, (word)from->at, from->count, (word)to->at, (word)&to->count});
}

static word encode(const struct call *call, enum behaviour behaviour, const struct bench *bench, const struct bytes *key,
                   struct bytes *wrapped) {
  switch (behaviour) {
  case RFC5649:
    return wrap_padded(bench, key, wrapped);
  case PKCS7_RFC3394:
    return wrap_pkcs7(bench, key, wrapped);
  default:
    return cipher(bench, F_EncryptInit, call->arguments[1], key, wrapped);
  }
}

static word decode(const struct call *call, enum behaviour behaviour, const struct bench *bench,
                   const struct bytes *wrapped, struct bytes *key) {
  if (behaviour == PKCS7_RFC3394) return unwrap_pkcs7(bench, wrapped, key);
  word result = cipher(bench, F_DecryptInit, call->arguments[1], wrapped, key);
  return result == CKR_OK || result == CKR_MECHANISM_PARAM_INVALID ? result : CKR_WRAPPED_KEY_INVALID;
}

static word give(const struct call *call, const struct bytes *wrapped) {
  byte *to = (byte *)call->arguments[4];
  word *size = (word *)call->arguments[5];
  word room = *size;
  *size = wrapped->count;
  if (to == NULL) return CKR_OK;
  if (room < wrapped->count) return CKR_BUFFER_TOO_SMALL;
  memcpy(to, wrapped->at, wrapped->count);
  return CKR_OK;
}

word wrap_key(const struct call *call, enum behaviour behaviour) {
  struct bench bench;
  struct bytes key, wrapped;
  word result = open_bench(call->arguments[0], call->arguments[2], &bench);
  if (result != CKR_OK) return result;
  result = read_key(call, &bench, &key);
  if (result == CKR_OK) result = encode(call, behaviour, &bench, &key, &wrapped);
  REAL(CloseSession, bench.session);
  return result == CKR_OK ? give(call, &wrapped) : result;
}

static word unwrap_real(const struct call *call, const byte *wrapped, word count) {
  const word *a = call->arguments;
  return REAL(UnwrapKey, a[0], (word)&real_mechanism, a[2], (word)wrapped, count, a[5], a[6], a[7]);
}

word unwrap_key(const struct call *call, enum behaviour behaviour) {
  const byte *given = (const byte *)call->arguments[3];
  struct bytes wrapped = {.count = call->arguments[4]}, key, again;
  if (behaviour == RFC5649) return unwrap_real(call, given, wrapped.count);
  if (wrapped.count > sizeof wrapped.at) return CKR_WRAPPED_KEY_LEN_RANGE;
  memcpy(wrapped.at, given, wrapped.count);
  struct bench bench;
  word result = open_bench(call->arguments[0], call->arguments[2], &bench);
  if (result != CKR_OK) return result;
  result = decode(call, behaviour, &bench, &wrapped, &key);
  if (result == CKR_OK) result = wrap_padded(&bench, &key, &again);
  REAL(CloseSession, bench.session);
  return result == CKR_OK ? unwrap_real(call, again.at, again.count) : result;
}
