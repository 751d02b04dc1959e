/* RFC 3394 and RFC 5649, by single blocks that the real module encrypts: the key stays there. */
#ifndef SHIM_KEY_WRAP_H
#define SHIM_KEY_WRAP_H

#include "cryptoki.h"

/* Room for a wrapped RSA-8192 key, which has some 4.7 KB. */
enum { WRAP_LIMIT = 8192, SEMIBLOCK = 8 };

/* Bytes, and how many there are. */
struct bytes {
  byte at[WRAP_LIMIT];
  word count;
};

/* What stands before the semiblocks: the default of RFC 3394 §2.2.3.1, or that of RFC 5649 §3 with the length of a key. */
extern const byte DEFAULT_IV[SEMIBLOCK];
void padded_iv(byte iv[SEMIBLOCK], word key_bytes);
/* The length in an IV of RFC 5649, or CK_UNAVAILABLE_INFORMATION where that is none for so many semiblocks. */
word length_in(const byte iv[SEMIBLOCK], word semiblocks);

/* In place: `text` is whole semiblocks, of which the first is the IV. A text of two is a single block (RFC 5649 §4.1). */
word wrap_semiblocks(word session, word key, struct bytes *text);
word unwrap_semiblocks(word session, word key, struct bytes *text);

#endif
