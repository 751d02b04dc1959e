#include "key-wrap.h"
#include "call.h"
#include <string.h>

enum { BLOCK = 16, ROUNDS = 6 };

const byte DEFAULT_IV[SEMIBLOCK] = {0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6};
static const byte PADDED_CONSTANT[4] = {0xa6, 0x59, 0x59, 0xa6};

void padded_iv(byte iv[SEMIBLOCK], word key_bytes) {
  memcpy(iv, PADDED_CONSTANT, sizeof PADDED_CONSTANT);
  for (int at = 0; at < 4; at += 1) iv[4 + at] = (byte)(key_bytes >> (24 - 8 * at));
}

word length_in(const byte iv[SEMIBLOCK], word semiblocks) {
  if (memcmp(iv, PADDED_CONSTANT, sizeof PADDED_CONSTANT) != 0) return CK_UNAVAILABLE_INFORMATION;
  word length = 0;
  for (int at = 0; at < 4; at += 1) length = length << 8 | iv[4 + at];
  return length <= SEMIBLOCK * (semiblocks - 1) || length > SEMIBLOCK * semiblocks ? CK_UNAVAILABLE_INFORMATION : length;
}

/* One block after the other, of one operation. */
static word begin(enum function init, word session, word key) {
  struct mechanism ecb = {CKM_AES_ECB, NULL, 0};
  return call_real(init, (const word[]){session, (word)&ecb, key});
}

static word next_block(enum function update, word session, byte block[BLOCK]) {
  byte output[2 * BLOCK];
  word size = sizeof output;
  word result = call_real(update, (const word[]){session, (word)block, BLOCK, (word)output, (word)&size});
  if (result != CKR_OK) return result;
  if (size != BLOCK) return CKR_GENERAL_ERROR;
  memcpy(block, output, BLOCK);
  return CKR_OK;
}

static word finish(enum function final, word session) {
  byte output[2 * BLOCK];
  word size = sizeof output;
  return call_real(final, (const word[]){session, (word)output, (word)&size});
}

/* The number of a step is added into the first half (RFC 3394 §2.2.1), where it fits in the last four bytes. */
static void add_step(byte block[BLOCK], word step) {
  for (int at = 0; at < 4; at += 1) block[7 - at] ^= (byte)(step >> 8 * at);
}

static word wrap_steps(word session, byte *text, word semiblocks) {
  byte block[BLOCK];
  memcpy(block, text, SEMIBLOCK);
  for (word step = 1; step <= ROUNDS * semiblocks; step += 1) {
    byte *at = text + SEMIBLOCK * ((step - 1) % semiblocks + 1);
    memcpy(block + SEMIBLOCK, at, SEMIBLOCK);
    word result = next_block(F_EncryptUpdate, session, block);
    if (result != CKR_OK) return result;
    memcpy(at, block + SEMIBLOCK, SEMIBLOCK);
    add_step(block, step);
  }
  memcpy(text, block, SEMIBLOCK);
  return CKR_OK;
}

static word unwrap_steps(word session, byte *text, word semiblocks) {
  byte block[BLOCK];
  memcpy(block, text, SEMIBLOCK);
  for (word step = ROUNDS * semiblocks; step > 0; step -= 1) {
    byte *at = text + SEMIBLOCK * ((step - 1) % semiblocks + 1);
    add_step(block, step);
    memcpy(block + SEMIBLOCK, at, SEMIBLOCK);
    word result = next_block(F_DecryptUpdate, session, block);
    if (result != CKR_OK) return result;
    memcpy(at, block + SEMIBLOCK, SEMIBLOCK);
  }
  memcpy(text, block, SEMIBLOCK);
  return CKR_OK;
}

word wrap_semiblocks(word session, word key, struct bytes *text) {
  word result = begin(F_EncryptInit, session, key);
  if (result != CKR_OK) return result;
  word semiblocks = text->count / SEMIBLOCK - 1;
  result = semiblocks == 1 ? next_block(F_EncryptUpdate, session, text->at) : wrap_steps(session, text->at, semiblocks);
  return result == CKR_OK ? finish(F_EncryptFinal, session) : result;
}

word unwrap_semiblocks(word session, word key, struct bytes *text) {
  word result = begin(F_DecryptInit, session, key);
  if (result != CKR_OK) return result;
  word semiblocks = text->count / SEMIBLOCK - 1;
  result = semiblocks == 1 ? next_block(F_DecryptUpdate, session, text->at) : unwrap_steps(session, text->at, semiblocks);
  return result == CKR_OK ? finish(F_DecryptFinal, session) : result;
}
