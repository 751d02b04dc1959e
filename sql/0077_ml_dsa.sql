-- Keys of ML-DSA (AKP-HSM): their parameter set, and a public half that is one piece.
alter table key_version add column parameter_set text;
alter table key_version drop constraint key_version_key_type_check;
alter table key_version add constraint key_version_key_type_check
  check (key_type in ('RSA-HSM', 'EC-HSM', 'oct-HSM', 'AKP-HSM'));
alter table key_version drop constraint key_version_check;
alter table key_version add constraint key_version_public_check
  check ((public_1 is null) = (key_type = 'oct-HSM') and (public_2 is null) = (key_type in ('oct-HSM', 'AKP-HSM')));
alter table key_version drop constraint key_version_check1;
alter table key_version add constraint key_version_kind_check
  check ((curve is null) = (key_type <> 'EC-HSM') and (parameter_set is null) = (key_type <> 'AKP-HSM')
    and (bits is null) = (key_type in ('EC-HSM', 'AKP-HSM')));
