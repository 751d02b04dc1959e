/* What the shim knows of PKCS#11 (v2.40 base, and v3.2 for later numbers). */
#ifndef SHIM_CRYPTOKI_H
#define SHIM_CRYPTOKI_H

/* Every argument of every function of PKCS#11 is a word or fits in one (v2.40 base §5): that is all one has to know. */
typedef unsigned long word;
typedef unsigned char byte;

enum {
  CKR_OK = 0x0,
  CKR_GENERAL_ERROR = 0x5,
  CKR_ARGUMENTS_BAD = 0x7,
  CKR_ATTRIBUTE_TYPE_INVALID = 0x12,
  CKR_DEVICE_MEMORY = 0x31,
  CKR_MECHANISM_INVALID = 0x70,
  CKR_MECHANISM_PARAM_INVALID = 0x71,
  CKR_SESSION_COUNT = 0xb1,
  CKR_SIGNATURE_INVALID = 0xc0,
  CKR_WRAPPED_KEY_INVALID = 0x110,
  CKR_WRAPPED_KEY_LEN_RANGE = 0x112,
  CKR_BUFFER_TOO_SMALL = 0x150,
};
enum { CKF_OS_LOCKING_OK = 2, CKF_SERIAL_SESSION = 4 };
enum { CKF_WRAP = 0x20000, CKF_UNWRAP = 0x40000, CKF_ENCRYPT = 0x100, CKF_DECRYPT = 0x200 };
enum { CKO_SECRET_KEY = 4 };
enum {
  CKA_CLASS = 0x0,
  CKA_TOKEN = 0x1,
  CKA_ENCRYPT = 0x104,
  CKA_DECRYPT = 0x105,
  CKA_KEY_TYPE = 0x100,
  CKA_VALUE_LEN = 0x161,
  CKA_MODIFIABLE = 0x170,
};
enum { CKM_AES_ECB = 0x1081, CKM_AES_CBC_PAD = 0x1085, CKM_AES_GCM = 0x1087, CKM_AES_KEY_WRAP_PAD = 0x210a };
#define CK_UNAVAILABLE_INFORMATION (~0UL)

struct version {
  byte major, minor;
};

/* CK_INFO (v2.40 base §3.1), to the end of what is changed here. */
struct info {
  struct version cryptoki_version;
  byte manufacturer_id[32];
  word flags;
  byte library_description[32];
  struct version library_version;
};

/* CK_TOKEN_INFO (v2.40 base §3.2), to the end of what is changed here. */
struct token_info {
  byte label[32], manufacturer_id[32], model[16], serial_number[16];
  word flags, max_session_count;
};

/* CK_SESSION_INFO (v2.40 base §3.3). */
struct session_info {
  word slot, state, flags, device_error;
};

/* CK_MECHANISM and CK_MECHANISM_INFO (v2.40 base §3.5). */
struct mechanism {
  word type;
  void *parameter;
  word parameter_size;
};
struct mechanism_info {
  word min_key_size, max_key_size, flags;
};

/* CK_ATTRIBUTE (v2.40 base §3.4). */
struct attribute {
  word type;
  void *value;
  word size;
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

enum function {
#define NUMBER(name, count) F_##name,
  FUNCTIONS(NUMBER)
#undef NUMBER
      FUNCTION_COUNT
};

#endif
