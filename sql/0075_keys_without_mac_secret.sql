-- Some HSMs wrap no secrets of HMACs: AES keys are made without one there.
alter table key_version drop constraint key_version_check2;
alter table key_version add constraint key_version_mac_blob_check
  check (mac_blob is null or key_type = 'oct-HSM');
