SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE FUNCTION public.keep_pool_promises() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  if old.purge_protection and not new.purge_protection then
    raise exception 'purge protection cannot be switched off';
  end if;
  if old.soft_delete_days <> new.soft_delete_days then
    raise exception 'the retention of deleted keys is fixed when a pool is made';
  end if;
  if coalesce(old.key_keeping, 'sealed') <> coalesce(new.key_keeping, 'sealed') then
    raise exception 'where a pool keeps its keys is fixed when it is made';
  end if;
  return new;
end $$;
CREATE FUNCTION public.make_audit_partitions(months integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public'
    AS $$
declare
  first date;
begin
  -- Two at once would both find a month missing.
  perform pg_advisory_xact_lock(1465076801);
  for first in
    select generate_series(
      date_trunc('month', now() at time zone 'utc'),
      date_trunc('month', now() at time zone 'utc') + make_interval(months => least(months, 24)),
      interval '1 month')::date
  loop
    if to_regclass('public.audit_event_' || to_char(first, 'YYYY_MM')) is null then
      begin
        execute format(
          'create table public.audit_event_%s partition of public.audit_event for values from (%L) to (%L)',
          to_char(first, 'YYYY_MM'),
          first::timestamp at time zone 'utc',
          (first + interval '1 month')::timestamp at time zone 'utc');
      exception when check_violation then
        raise warning 'records of % stand in audit_event_else: they stay there', to_char(first, 'YYYY-MM');
      end;
    end if;
  end loop;
end $$;
CREATE FUNCTION public.raise_sequences() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public'
    AS $$
declare
  sought record;
  largest bigint;
begin
  for sought in
    select * from (values
      ('key_version', 'ordinal', pg_get_serial_sequence('public.key_version', 'ordinal')),
      ('signing_key', 'ordinal', pg_get_serial_sequence('public.signing_key', 'ordinal')),
      ('statement_key', 'ordinal', pg_get_serial_sequence('public.statement_key', 'ordinal')),
      ('audit_chain', 'number', pg_get_serial_sequence('public.audit_chain', 'number')),
      ('audit_witness', 'revision', 'public.audit_witness_revision')
    ) as known (source, counter, sequence)
  loop
    execute format('select max(%I) from public.%I', sought.counter, sought.source) into largest;
    if largest > nextval(sought.sequence) then
      perform setval(sought.sequence, largest);
    end if;
  end loop;
end $$;
CREATE FUNCTION public.witness() RETURNS trigger
    LANGUAGE plpgsql
    SET "TimeZone" TO 'UTC'
    SET bytea_output TO 'hex'
    SET search_path TO 'pg_catalog', 'public'
    AS $$
declare
  keys constant text[] := string_to_array(tg_argv[0], ' ');
  skipped constant text[] := string_to_array(tg_argv[1], ' ');
  mine constant text := pg_current_xact_id()::text || ' ';
  noted text := current_setting('strongroom.witnessed', true);
  said text;
begin
  if tg_op = 'INSERT' then
    select string_agg(witness_note(tg_table_name, s.pool_id, s.row_key, null, s.digest), ',') into said
    from new_rows r cross join lateral witness_state(to_jsonb(r), keys, skipped) s;
  elsif tg_op = 'DELETE' then
    select string_agg(witness_note(tg_table_name, s.pool_id, s.row_key, s.digest, null), ',') into said
    from old_rows r cross join lateral witness_state(to_jsonb(r), keys, skipped) s;
  else
    select string_agg(witness_note(tg_table_name, pool_id, row_key, before, after), ',') into said
    from (
      select pool_id, row_key, max(before) as before, max(after) as after
      from (
        select s.pool_id, s.row_key, s.digest as before, null as after
        from old_rows r cross join lateral witness_state(to_jsonb(r), keys, skipped) s
        union all
        select s.pool_id, s.row_key, null, s.digest
        from new_rows r cross join lateral witness_state(to_jsonb(r), keys, skipped) s) as states
      group by pool_id, row_key) as changes
    where before is distinct from after;
  end if;
  if said is not null then
    -- What another transaction has left there, or somebody has set as a default, isn't gone on with.
    if noted is null or not starts_with(noted, mine) then
      perform set_config('strongroom.witnessed', mine || said, true);
    else
      perform set_config('strongroom.witnessed', noted || ',' || said, true);
    end if;
  end if;
  return null;
end $$;
CREATE FUNCTION public.witness_note(source name, pool_id uuid, row_key text, before text, after text) RETURNS text
    LANGUAGE sql
    AS $$
  select jsonb_build_object('pool', pool_id, 'table', source, 'row', row_key,
    'revision', nextval('public.audit_witness_revision'), 'before', before, 'after', after)::text
$$;
CREATE FUNCTION public.witness_state(state jsonb, keys text[], skipped text[], OUT pool_id uuid, OUT row_key text, OUT digest text) RETURNS record
    LANGUAGE sql IMMUTABLE
    AS $$
  select coalesce(state ->> 'pool_id', state ->> 'id')::uuid,
    coalesce((select jsonb_agg(state -> name order by place)
      from unnest(keys) with ordinality as k (name, place)), '[]')::text,
    translate(rtrim(encode(sha256(convert_to(
      (select jsonb_object_agg(key, value)::text
        from jsonb_each(state - skipped) where value <> 'null'), 'UTF8')), 'base64'), '='), '+/', '-_')
$$;
CREATE FUNCTION public.witness_table(source text, keys text, skipped text) RETURNS void
    LANGUAGE plpgsql
    SET "TimeZone" TO 'UTC'
    SET bytea_output TO 'hex'
    AS $$
begin
  execute format('create trigger witness_insert after insert on %I referencing new table as new_rows
    for each statement execute function witness(%L, %L)', source, keys, skipped);
  execute format('create trigger witness_update after update on %I
    referencing old table as old_rows new table as new_rows
    for each statement execute function witness(%L, %L)', source, keys, skipped);
  execute format('create trigger witness_delete after delete on %I referencing old table as old_rows
    for each statement execute function witness(%L, %L)', source, keys, skipped);
  execute format('insert into audit_witness_pending (pool_id, source, row_key, revision, after)
    select s.pool_id, %L, s.row_key, nextval(''public.audit_witness_revision''), s.digest
    from %I r cross join lateral witness_state(to_jsonb(r), string_to_array(%L, '' ''), string_to_array(%L, '' '')) s',
    source, source, keys, skipped);
end $$;
CREATE TABLE public.application (
    pool_id uuid NOT NULL,
    id uuid NOT NULL,
    app_id uuid NOT NULL,
    display_name text NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.application_certificate (
    pool_id uuid NOT NULL,
    application_id uuid NOT NULL,
    key_id uuid NOT NULL,
    display_name text,
    thumbprint bytea NOT NULL,
    certificate bytea NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL
);
CREATE TABLE public.application_password (
    pool_id uuid NOT NULL,
    application_id uuid NOT NULL,
    key_id uuid NOT NULL,
    display_name text,
    hint text NOT NULL,
    hash text NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL
);
CREATE TABLE public.audit_chain (
    pool_id uuid NOT NULL,
    chain uuid NOT NULL,
    number bigint NOT NULL,
    begun_at timestamp with time zone NOT NULL
);
ALTER TABLE public.audit_chain ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_chain_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.audit_checkpoint (
    pool_id uuid NOT NULL,
    number bigint NOT NULL,
    "time" timestamp with time zone NOT NULL,
    statement text NOT NULL,
    is_retention boolean NOT NULL,
    CONSTRAINT audit_checkpoint_number_check CHECK ((number > 0))
);
CREATE TABLE public.audit_checkpoint_head (
    pool_id uuid NOT NULL,
    chain uuid NOT NULL,
    number bigint NOT NULL,
    sequence bigint NOT NULL,
    ends boolean NOT NULL
);
CREATE TABLE public.audit_event (
    pool_id uuid NOT NULL,
    chain uuid NOT NULL,
    sequence bigint NOT NULL,
    "time" timestamp with time zone NOT NULL,
    request_id uuid NOT NULL,
    client_request_id text,
    tenant_id text,
    principal_id text,
    application_id text,
    principal_name text,
    client_address text,
    user_agent text,
    operation text NOT NULL,
    action text,
    scope text,
    key_name text,
    key_version text,
    algorithm text,
    outcome text NOT NULL,
    status integer NOT NULL,
    error_code text,
    reason text,
    duration_ms double precision NOT NULL,
    change jsonb,
    hash bytea NOT NULL,
    witnessed jsonb,
    CONSTRAINT audit_event_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT audit_event_outcome_check1 CHECK ((outcome = ANY (ARRAY['success'::text, 'failure'::text]))),
    CONSTRAINT audit_event_sequence_check CHECK ((sequence > 0))
)
PARTITION BY RANGE ("time");
CREATE TABLE public.audit_event_2026_11 (
    pool_id uuid NOT NULL,
    chain uuid NOT NULL,
    sequence bigint NOT NULL,
    "time" timestamp with time zone NOT NULL,
    request_id uuid NOT NULL,
    client_request_id text,
    tenant_id text,
    principal_id text,
    application_id text,
    principal_name text,
    client_address text,
    user_agent text,
    operation text NOT NULL,
    action text,
    scope text,
    key_name text,
    key_version text,
    algorithm text,
    outcome text NOT NULL,
    status integer NOT NULL,
    error_code text,
    reason text,
    duration_ms double precision NOT NULL,
    change jsonb,
    hash bytea NOT NULL,
    witnessed jsonb,
    CONSTRAINT audit_event_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT audit_event_outcome_check1 CHECK ((outcome = ANY (ARRAY['success'::text, 'failure'::text]))),
    CONSTRAINT audit_event_sequence_check CHECK ((sequence > 0))
);
CREATE TABLE public.audit_event_2026_12 (
    pool_id uuid NOT NULL,
    chain uuid NOT NULL,
    sequence bigint NOT NULL,
    "time" timestamp with time zone NOT NULL,
    request_id uuid NOT NULL,
    client_request_id text,
    tenant_id text,
    principal_id text,
    application_id text,
    principal_name text,
    client_address text,
    user_agent text,
    operation text NOT NULL,
    action text,
    scope text,
    key_name text,
    key_version text,
    algorithm text,
    outcome text NOT NULL,
    status integer NOT NULL,
    error_code text,
    reason text,
    duration_ms double precision NOT NULL,
    change jsonb,
    hash bytea NOT NULL,
    witnessed jsonb,
    CONSTRAINT audit_event_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT audit_event_outcome_check1 CHECK ((outcome = ANY (ARRAY['success'::text, 'failure'::text]))),
    CONSTRAINT audit_event_sequence_check CHECK ((sequence > 0))
);
CREATE TABLE public.audit_event_2027_01 (
    pool_id uuid NOT NULL,
    chain uuid NOT NULL,
    sequence bigint NOT NULL,
    "time" timestamp with time zone NOT NULL,
    request_id uuid NOT NULL,
    client_request_id text,
    tenant_id text,
    principal_id text,
    application_id text,
    principal_name text,
    client_address text,
    user_agent text,
    operation text NOT NULL,
    action text,
    scope text,
    key_name text,
    key_version text,
    algorithm text,
    outcome text NOT NULL,
    status integer NOT NULL,
    error_code text,
    reason text,
    duration_ms double precision NOT NULL,
    change jsonb,
    hash bytea NOT NULL,
    witnessed jsonb,
    CONSTRAINT audit_event_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT audit_event_outcome_check1 CHECK ((outcome = ANY (ARRAY['success'::text, 'failure'::text]))),
    CONSTRAINT audit_event_sequence_check CHECK ((sequence > 0))
);
CREATE TABLE public.audit_event_2027_02 (
    pool_id uuid NOT NULL,
    chain uuid NOT NULL,
    sequence bigint NOT NULL,
    "time" timestamp with time zone NOT NULL,
    request_id uuid NOT NULL,
    client_request_id text,
    tenant_id text,
    principal_id text,
    application_id text,
    principal_name text,
    client_address text,
    user_agent text,
    operation text NOT NULL,
    action text,
    scope text,
    key_name text,
    key_version text,
    algorithm text,
    outcome text NOT NULL,
    status integer NOT NULL,
    error_code text,
    reason text,
    duration_ms double precision NOT NULL,
    change jsonb,
    hash bytea NOT NULL,
    witnessed jsonb,
    CONSTRAINT audit_event_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT audit_event_outcome_check1 CHECK ((outcome = ANY (ARRAY['success'::text, 'failure'::text]))),
    CONSTRAINT audit_event_sequence_check CHECK ((sequence > 0))
);
CREATE TABLE public.audit_event_else (
    pool_id uuid NOT NULL,
    chain uuid NOT NULL,
    sequence bigint NOT NULL,
    "time" timestamp with time zone NOT NULL,
    request_id uuid NOT NULL,
    client_request_id text,
    tenant_id text,
    principal_id text,
    application_id text,
    principal_name text,
    client_address text,
    user_agent text,
    operation text NOT NULL,
    action text,
    scope text,
    key_name text,
    key_version text,
    algorithm text,
    outcome text NOT NULL,
    status integer NOT NULL,
    error_code text,
    reason text,
    duration_ms double precision NOT NULL,
    change jsonb,
    hash bytea NOT NULL,
    witnessed jsonb,
    CONSTRAINT audit_event_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT audit_event_outcome_check1 CHECK ((outcome = ANY (ARRAY['success'::text, 'failure'::text]))),
    CONSTRAINT audit_event_sequence_check CHECK ((sequence > 0))
);
CREATE TABLE public.audit_event_unchained (
    id bigint NOT NULL,
    pool_id uuid NOT NULL,
    writer uuid NOT NULL,
    "time" timestamp with time zone NOT NULL,
    request_id uuid NOT NULL,
    client_request_id text,
    tenant_id text,
    principal_id text,
    application_id text,
    principal_name text,
    client_address text,
    user_agent text,
    operation text NOT NULL,
    action text,
    scope text,
    key_name text,
    key_version text,
    algorithm text,
    outcome text NOT NULL,
    status integer NOT NULL,
    error_code text,
    duration_ms double precision NOT NULL,
    change jsonb,
    CONSTRAINT audit_event_outcome_check CHECK ((outcome = ANY (ARRAY['success'::text, 'failure'::text])))
);
ALTER TABLE public.audit_event_unchained ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.audit_key_use (
    pool_id uuid NOT NULL,
    key_name text NOT NULL,
    last_used_at timestamp with time zone NOT NULL
);
CREATE TABLE public.audit_usage (
    pool_id uuid NOT NULL,
    period text NOT NULL,
    start timestamp with time zone NOT NULL,
    key_name text NOT NULL,
    principal_id text NOT NULL,
    operation text NOT NULL,
    succeeded bigint NOT NULL,
    failed bigint NOT NULL,
    last_at timestamp with time zone NOT NULL,
    CONSTRAINT audit_usage_period_check CHECK ((period = ANY (ARRAY['hour'::text, 'day'::text])))
);
CREATE TABLE public.audit_usage_position (
    pool_id uuid NOT NULL,
    chain uuid NOT NULL,
    sequence bigint NOT NULL,
    is_over boolean NOT NULL
);
CREATE TABLE public.audit_witness (
    pool_id uuid NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    row_key text NOT NULL COLLATE pg_catalog."C",
    revision bigint NOT NULL,
    before text,
    after text,
    found text,
    chain uuid NOT NULL,
    sequence bigint NOT NULL,
    "time" timestamp with time zone NOT NULL,
    CONSTRAINT audit_witness_found_check CHECK ((found = ANY (ARRAY['upgrade'::text, 'retention'::text])))
);
CREATE TABLE public.audit_witness_pending (
    pool_id uuid NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    row_key text NOT NULL COLLATE pg_catalog."C",
    revision bigint NOT NULL,
    after text NOT NULL
);
CREATE SEQUENCE public.audit_witness_revision
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE public.backup_keys (
    pool_id uuid NOT NULL,
    version text NOT NULL,
    root_generation integer NOT NULL,
    blob bytea NOT NULL,
    mac_blob bytea NOT NULL,
    seal bytea NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT backup_keys_seal_check CHECK ((octet_length(seal) = 32))
);
CREATE TABLE public.directory_group (
    pool_id uuid NOT NULL,
    id uuid NOT NULL,
    display_name text NOT NULL,
    description text,
    mail_nickname text
);
CREATE TABLE public.directory_user (
    pool_id uuid NOT NULL,
    id uuid NOT NULL,
    display_name text NOT NULL,
    user_principal_name text NOT NULL,
    enabled boolean NOT NULL,
    mail_nickname text
);
CREATE TABLE public.federated_credential (
    pool_id uuid NOT NULL,
    application_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    audience text NOT NULL,
    description text
);
CREATE TABLE public.federated_credential_use (
    pool_id uuid NOT NULL,
    application_id uuid NOT NULL,
    id uuid NOT NULL,
    first_used_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.gcm_use (
    pool_id uuid NOT NULL,
    version text NOT NULL,
    reserved bigint NOT NULL,
    CONSTRAINT gcm_use_reserved_check CHECK ((reserved >= 0)),
    CONSTRAINT gcm_use_version_check CHECK ((version ~ '^[0-9a-f]{32}$'::text))
);
CREATE TABLE public.group_member (
    pool_id uuid NOT NULL,
    group_id uuid NOT NULL,
    member_id uuid NOT NULL
);
CREATE TABLE public.hsm_object_intent (
    pool_id uuid NOT NULL,
    object_id text NOT NULL,
    version text NOT NULL,
    key_name text NOT NULL,
    state text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    process text NOT NULL,
    claimed_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    is_over boolean DEFAULT false NOT NULL,
    is_absent boolean DEFAULT false NOT NULL,
    CONSTRAINT hsm_object_intent_object_id_check CHECK ((object_id ~ '^[0-9a-f]{32}$'::text)),
    CONSTRAINT hsm_object_intent_state_check CHECK ((state = ANY (ARRAY['creating'::text, 'destroying'::text])))
);
CREATE TABLE public.key (
    pool_id uuid NOT NULL,
    name_key text NOT NULL,
    name text NOT NULL,
    current_version text NOT NULL,
    deleted_at bigint,
    purge_at bigint,
    CONSTRAINT key_check CHECK ((lower(name) = name_key)),
    CONSTRAINT key_check1 CHECK ((purge_at >= deleted_at)),
    CONSTRAINT key_check2 CHECK (((deleted_at IS NULL) = (purge_at IS NULL))),
    CONSTRAINT key_name_key_check CHECK ((name_key ~ '^[0-9a-z-]{1,127}$'::text))
);
CREATE TABLE public.key_version (
    pool_id uuid NOT NULL,
    name_key text NOT NULL,
    version text NOT NULL,
    ordinal bigint NOT NULL,
    key_type text NOT NULL,
    bits integer,
    curve text,
    public_exponent bigint,
    operations text[] NOT NULL,
    exportable boolean NOT NULL,
    enabled boolean NOT NULL,
    not_before bigint,
    expires bigint,
    created bigint NOT NULL,
    updated bigint NOT NULL,
    tags jsonb NOT NULL,
    public_1 bytea,
    public_2 bytea,
    root_generation integer NOT NULL,
    blob bytea NOT NULL,
    mac_blob bytea,
    seal bytea NOT NULL,
    origin text DEFAULT 'generated'::text NOT NULL,
    release_policy text,
    release_content_type text,
    release_immutable boolean,
    parameter_set text,
    CONSTRAINT key_version_check3 CHECK ((num_nulls(release_policy, release_content_type, release_immutable) = ANY (ARRAY[0, 3]))),
    CONSTRAINT key_version_check4 CHECK ((exportable = (release_policy IS NOT NULL))),
    CONSTRAINT key_version_key_type_check CHECK ((key_type = ANY (ARRAY['RSA-HSM'::text, 'EC-HSM'::text, 'oct-HSM'::text, 'AKP-HSM'::text]))),
    CONSTRAINT key_version_kind_check CHECK ((((curve IS NULL) = (key_type <> 'EC-HSM'::text)) AND ((parameter_set IS NULL) = (key_type <> 'AKP-HSM'::text)) AND ((bits IS NULL) = (key_type = ANY (ARRAY['EC-HSM'::text, 'AKP-HSM'::text]))))),
    CONSTRAINT key_version_mac_blob_check CHECK (((mac_blob IS NULL) OR (key_type = 'oct-HSM'::text))),
    CONSTRAINT key_version_origin_check CHECK ((origin = ANY (ARRAY['generated'::text, 'imported'::text]))),
    CONSTRAINT key_version_public_check CHECK ((((public_1 IS NULL) = (key_type = 'oct-HSM'::text)) AND ((public_2 IS NULL) = (key_type = ANY (ARRAY['oct-HSM'::text, 'AKP-HSM'::text]))))),
    CONSTRAINT key_version_seal_check CHECK ((octet_length(seal) = 32)),
    CONSTRAINT key_version_version_check CHECK ((version ~ '^[0-9a-f]{32}$'::text))
);
ALTER TABLE public.key_version ALTER COLUMN ordinal ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.key_version_ordinal_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.pool (
    id uuid NOT NULL,
    name text NOT NULL,
    tenant_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    soft_delete_days integer NOT NULL,
    purge_protection boolean NOT NULL,
    root_generation integer NOT NULL,
    root_check bytea NOT NULL,
    key_keeping text,
    activation text,
    restoring_since timestamp with time zone,
    CONSTRAINT pool_activation_check CHECK ((activation = ANY (ARRAY['none'::text, 'domain'::text, 'hsm'::text, 'embedded'::text]))),
    CONSTRAINT pool_key_keeping_check CHECK ((key_keeping = ANY (ARRAY['sealed'::text, 'resident'::text]))),
    CONSTRAINT pool_root_check_check CHECK ((octet_length(root_check) = 32)),
    CONSTRAINT pool_root_generation_check CHECK ((root_generation > 0)),
    CONSTRAINT pool_soft_delete_days_check CHECK (((soft_delete_days >= 7) AND (soft_delete_days <= 90)))
);
CREATE TABLE public.recovery_job (
    id text NOT NULL,
    pool_id uuid NOT NULL,
    pool_name text NOT NULL,
    kind text NOT NULL,
    status text NOT NULL,
    asked_by text NOT NULL,
    principal_id text,
    place text,
    folder text,
    key_name text,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    keys integer,
    bytes bigint,
    error_code text,
    error_message text,
    CONSTRAINT recovery_job_asked_by_check CHECK ((asked_by = ANY (ARRAY['caller'::text, 'schedule'::text, 'operator'::text]))),
    CONSTRAINT recovery_job_check CHECK (((status = 'InProgress'::text) = (ended_at IS NULL))),
    CONSTRAINT recovery_job_id_check CHECK ((id ~ '^[0-9a-f]{32}$'::text)),
    CONSTRAINT recovery_job_kind_check CHECK ((kind = ANY (ARRAY['backup'::text, 'backup-check'::text, 'restore'::text, 'restore-check'::text, 'key-restore'::text]))),
    CONSTRAINT recovery_job_status_check CHECK ((status = ANY (ARRAY['InProgress'::text, 'Succeeded'::text, 'Failed'::text])))
);
CREATE TABLE public.retired_root_generation (
    pool_id uuid NOT NULL,
    number integer NOT NULL,
    retired_at timestamp with time zone DEFAULT now() NOT NULL,
    destroyed_at timestamp with time zone,
    proof bytea NOT NULL,
    CONSTRAINT retired_root_generation_number_check CHECK ((number > 0))
);
CREATE TABLE public.role_assignment (
    pool_id uuid NOT NULL,
    id uuid NOT NULL,
    principal_id text NOT NULL,
    role_id uuid NOT NULL,
    scope text NOT NULL,
    description text,
    expires_on bigint,
    CONSTRAINT role_assignment_scope_check CHECK (((scope = '/'::text) OR (scope = '/keys'::text) OR (scope ~ '^/keys/[0-9a-z-]{1,127}$'::text)))
);
CREATE TABLE public.role_definition (
    pool_id uuid NOT NULL,
    id uuid NOT NULL,
    role_name text NOT NULL,
    description text NOT NULL,
    kind text NOT NULL,
    assignable_scopes text[] NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    permissions jsonb NOT NULL,
    CONSTRAINT role_definition_kind_check CHECK ((kind = ANY (ARRAY['built-in'::text, 'custom'::text])))
);
CREATE TABLE public.role_permission (
    pool_id uuid NOT NULL,
    role_id uuid NOT NULL,
    action text NOT NULL
);
CREATE TABLE public.root_generation (
    pool_id uuid NOT NULL,
    number integer NOT NULL,
    root_check bytea NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    is_kept boolean DEFAULT false NOT NULL,
    opens_backups boolean DEFAULT false NOT NULL,
    CONSTRAINT root_generation_number_check CHECK ((number > 0)),
    CONSTRAINT root_generation_root_check_check CHECK ((octet_length(root_check) = 32))
);
CREATE TABLE public.rotation_policy (
    pool_id uuid NOT NULL,
    name_key text NOT NULL,
    actions jsonb NOT NULL,
    expiry_time text,
    created bigint NOT NULL,
    updated bigint NOT NULL,
    rotate_at bigint,
    notify_at bigint,
    notified_version text,
    notified_for bigint,
    claimed_until bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.schema_migration (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.security_domain_download (
    pool_id uuid NOT NULL,
    generation integer NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    required integer NOT NULL,
    custodians text[] NOT NULL,
    CONSTRAINT security_domain_download_check CHECK ((cardinality(custodians) >= required)),
    CONSTRAINT security_domain_download_generation_check CHECK ((generation > 0)),
    CONSTRAINT security_domain_download_required_check CHECK ((required > 1))
);
CREATE TABLE public.service_principal (
    pool_id uuid NOT NULL,
    id uuid NOT NULL,
    app_id uuid NOT NULL,
    display_name text NOT NULL,
    enabled boolean NOT NULL
);
CREATE TABLE public.setting (
    pool_id uuid NOT NULL,
    name text NOT NULL,
    value text NOT NULL,
    CONSTRAINT setting_value_check CHECK ((value = ANY (ARRAY['true'::text, 'false'::text])))
);
CREATE TABLE public.signing_key (
    pool_id uuid NOT NULL,
    version text NOT NULL,
    ordinal bigint NOT NULL,
    name text NOT NULL,
    bits integer NOT NULL,
    public_exponent bigint NOT NULL,
    operations text[] NOT NULL,
    public_1 bytea NOT NULL,
    public_2 bytea NOT NULL,
    root_generation integer NOT NULL,
    blob bytea NOT NULL,
    seal bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    after_version text
);
ALTER TABLE public.signing_key ALTER COLUMN ordinal ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.signing_key_ordinal_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.statement_key (
    pool_id uuid NOT NULL,
    purpose text NOT NULL,
    version text NOT NULL,
    ordinal bigint NOT NULL,
    bits integer NOT NULL,
    public_exponent bigint NOT NULL,
    public_1 bytea NOT NULL,
    public_2 bytea NOT NULL,
    root_generation integer NOT NULL,
    blob bytea NOT NULL,
    seal bytea NOT NULL,
    certificate bytea NOT NULL,
    CONSTRAINT statement_key_purpose_check CHECK ((purpose = ANY (ARRAY['root'::text, 'release'::text, 'attestation'::text, 'audit'::text]))),
    CONSTRAINT statement_key_seal_check CHECK ((octet_length(seal) = 32)),
    CONSTRAINT statement_key_version_check CHECK ((version ~ '^[0-9a-f]{32}$'::text))
);
ALTER TABLE public.statement_key ALTER COLUMN ordinal ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.statement_key_ordinal_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.transfer_key (
    pool_id uuid NOT NULL,
    version text NOT NULL,
    bits integer NOT NULL,
    public_exponent bigint NOT NULL,
    public_1 bytea NOT NULL,
    public_2 bytea NOT NULL,
    root_generation integer NOT NULL,
    blob bytea NOT NULL,
    seal bytea NOT NULL,
    certificate bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT transfer_key_seal_check CHECK ((octet_length(seal) = 32)),
    CONSTRAINT transfer_key_version_check CHECK ((version ~ '^[0-9a-f]{32}$'::text))
);
CREATE TABLE public.uploaded_backup_keys (
    pool_id uuid NOT NULL,
    of_pool_id uuid NOT NULL,
    version text NOT NULL,
    ordinal integer NOT NULL,
    blob bytea NOT NULL,
    mac_blob bytea NOT NULL,
    seal bytea NOT NULL,
    CONSTRAINT uploaded_backup_keys_seal_check CHECK ((octet_length(seal) = 32))
);
CREATE TABLE public.uploaded_domain (
    pool_id uuid NOT NULL,
    of_pool_id uuid NOT NULL,
    generation integer NOT NULL,
    root_check bytea NOT NULL,
    uploaded_at timestamp with time zone DEFAULT now() NOT NULL,
    proof bytea,
    CONSTRAINT uploaded_domain_check CHECK ((of_pool_id <> pool_id)),
    CONSTRAINT uploaded_domain_generation_check CHECK ((generation > 0)),
    CONSTRAINT uploaded_domain_proof_check CHECK ((octet_length(proof) = 32)),
    CONSTRAINT uploaded_domain_root_check_check CHECK ((octet_length(root_check) = 32))
);
CREATE TABLE public.user_identity (
    pool_id uuid NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL
);
ALTER TABLE ONLY public.audit_event ATTACH PARTITION public.audit_event_2026_11 FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00');
ALTER TABLE ONLY public.audit_event ATTACH PARTITION public.audit_event_2026_12 FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');
ALTER TABLE ONLY public.audit_event ATTACH PARTITION public.audit_event_2027_01 FOR VALUES FROM ('2027-01-01 00:00:00+00') TO ('2027-02-01 00:00:00+00');
ALTER TABLE ONLY public.audit_event ATTACH PARTITION public.audit_event_2027_02 FOR VALUES FROM ('2027-02-01 00:00:00+00') TO ('2027-03-01 00:00:00+00');
ALTER TABLE ONLY public.audit_event ATTACH PARTITION public.audit_event_else DEFAULT;
INSERT INTO public.application VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '71f811f8-c1e5-4d05-b4fb-74466fe5cab8', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '2026-11-28 13:53:15.982+00');
INSERT INTO public.application VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '810687bf-c528-4129-ab97-85b4c9c66907', '74fbdfde-aa3b-42cc-a899-4e18bb8c31e3', 'reader', '2026-11-28 13:53:34.22+00');
INSERT INTO public.application_password VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '71f811f8-c1e5-4d05-b4fb-74466fe5cab8', '636e170b-55b7-4a3e-b38b-f9da3027036e', NULL, '-Ai', '$scrypt$ln=15,r=8,p=1$NnS16/VW8LJB8yDBHOGUkA$9+hce5iyV+bdBY4m6Y7OsfehNsOSjtUoicpIMO29/sw', '2026-11-28 13:53:15.999+00', '2028-11-28 13:53:15.999+00');
INSERT INTO public.application_password VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '810687bf-c528-4129-ab97-85b4c9c66907', '32ecc59c-b5bf-4144-b5df-7664c7d6a690', NULL, 'IYu', '$scrypt$ln=15,r=8,p=1$2b3eFNymKyIZYJ8tUcTK9Q$FJYy8sAlnVroRBb6pRvO16rCq16CBZa6cd6RCwusqMU', '2026-11-28 13:53:34.343+00', '2099-01-01 00:00:00+00');
INSERT INTO public.audit_chain OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 1, '2026-11-28 13:53:15.042+00');
INSERT INTO public.audit_chain OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 2, '2026-11-28 13:53:23.306+00');
INSERT INTO public.audit_chain OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 3, '2026-11-28 13:53:23.546+00');
INSERT INTO public.audit_checkpoint VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 1, '2026-11-28 13:53:18.157+00', 'eyJhbGciOiJSUzI1NiIsImtpZCI6IjA5ZTYzMDhlMmVjMDE0MDI4MWJiNTIwMTgwNGZkYzJlIiwieDV0I1MyNTYiOiJtb0RpTEJqZVdpLXB4UXBaN0dPZ1VEX2dwR2FvS3VHci1tZlVKMFE0N3gwIiwidHlwIjoic3Ryb25ncm9vbS1hdWRpdC1jaGVja3BvaW50K2p3dCJ9.eyJwb29sIjoiOGU3MmEzYzQtZjI5Mi00YmMxLThiN2QtNmQ1MTVkOTE0NmZlIiwibnVtYmVyIjoxLCJ0aW1lIjoiMjAyNi0xMS0yOFQxMzo1MzoxOC4xNTdaIiwicHJldmlvdXMiOm51bGwsImhlYWRzIjpbeyJjaGFpbiI6ImI2MWE5NzAyLTJjZjctNDNlMS05YjU0LThlNDExNjdmMjBmMiIsInNlcXVlbmNlIjoxMSwiaGFzaCI6Im03b24yNW5xdlg4XzU4N20yaGhMcE9mNUgwX21qVWNMakZBbmFkQnZzcWciLCJlbmRzIjp0cnVlfV19.Sw_dY4L2n_hw-Nkh7idXmJXsyf4LHybvtbzXCmqLy8pE4YFaG89LODejqDow7vTa-bZX1K3eOkLGuvO1588Gbw7cC37e62AZxsjKOw6_68uu9ZVB_dpl0LcXsR-jaUCQUlFcn3gvEJNB6xpUD5ixyMnevBQzqqakez53SsdIgbi3JspyCwkJEmPbUpXUz4cWvxyugyOMLXPxoKRiYKNJPUcYCUiw19ps0FBF9A6qyHL_E8gfI79rG0qbADeaVDeOsuQeCMfKr5j8UUaUniZ1w919SfohptlrPrhYzBJKMPlb7Bto3f1TxtFkrRGHtSc9YME4OljjiOr9YZCjhTtueA', false);
INSERT INTO public.audit_checkpoint VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 2, '2026-11-28 13:53:27.683+00', 'eyJhbGciOiJSUzI1NiIsImtpZCI6IjA5ZTYzMDhlMmVjMDE0MDI4MWJiNTIwMTgwNGZkYzJlIiwieDV0I1MyNTYiOiJtb0RpTEJqZVdpLXB4UXBaN0dPZ1VEX2dwR2FvS3VHci1tZlVKMFE0N3gwIiwidHlwIjoic3Ryb25ncm9vbS1hdWRpdC1jaGVja3BvaW50K2p3dCJ9.eyJwb29sIjoiOGU3MmEzYzQtZjI5Mi00YmMxLThiN2QtNmQ1MTVkOTE0NmZlIiwibnVtYmVyIjoyLCJ0aW1lIjoiMjAyNi0xMS0yOFQxMzo1MzoyNy42ODNaIiwicHJldmlvdXMiOiJlSC1HX0UtaUdTVFo4OTYtTnp5TE9hWk91Z2Q0OEhPYXpjR1hYZmM2Sl9JIiwiaGVhZHMiOlt7ImNoYWluIjoiNGJmMzM5M2QtZmY2OS00N2JjLWI0ZmQtMTViY2MzYTkwZTRhIiwic2VxdWVuY2UiOjQsImhhc2giOiJkaW40ajhMMGF5TjJvd1RRby1mdUJrNzhEaUxFLUpMN0JxZHVTRlNQSTJjIiwiZW5kcyI6ZmFsc2V9LHsiY2hhaW4iOiJjNWI2YTVhNS0wMmFiLTRjMmUtYTY4ZC02OGE5ZTYwNGE4OTgiLCJzZXF1ZW5jZSI6NSwiaGFzaCI6IlZ3Y0JoSk5iNHVucDUwWnY3bmNfVDVyakNZOVBzb0o3RDJKZEhWX2FudE0iLCJlbmRzIjpmYWxzZX1dfQ.DwKU0gK7Us4045NZZ_aTsgM6i456ALyChjpvh4OjJjsc3_52q9e1viYRAq6A7yqcX4cYKcyoeYmIS7xrCPGLZkKpguXjVqN2NEAZabyA9EcFAz_DDpVP3zEz2LnWRpRG2asz9zFBb8cYp7_5eGMENcO-TOlQWN_ltKOdyzKLni-q0L1TYpbxQ1wMlJPQ5AHwAcTYmOZonKlYGGq7VQgXOjRaD1PKSy8Cu1VqCaJgyXLD_N_ZCK78jJkths3k--qKaW6GQHBcJTh-rE8W-FYW4dgA20LNeo5sS6u04jBW2QNwbLWrYl3hSJv7ItEwgFXOh7fS5wyfPyiHjobwJ7qYKQ', false);
INSERT INTO public.audit_checkpoint VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 3, '2026-11-28 13:53:33.13+00', 'eyJhbGciOiJSUzI1NiIsImtpZCI6IjA5ZTYzMDhlMmVjMDE0MDI4MWJiNTIwMTgwNGZkYzJlIiwieDV0I1MyNTYiOiJtb0RpTEJqZVdpLXB4UXBaN0dPZ1VEX2dwR2FvS3VHci1tZlVKMFE0N3gwIiwidHlwIjoic3Ryb25ncm9vbS1hdWRpdC1jaGVja3BvaW50K2p3dCJ9.eyJwb29sIjoiOGU3MmEzYzQtZjI5Mi00YmMxLThiN2QtNmQ1MTVkOTE0NmZlIiwibnVtYmVyIjozLCJ0aW1lIjoiMjAyNi0xMS0yOFQxMzo1MzozMy4xMzBaIiwicHJldmlvdXMiOiJuQlpjWjhpelVhcktfWXNZUnp0U2pIRmozemIyc2lScnVvWUZPVjhwMUVnIiwiaGVhZHMiOlt7ImNoYWluIjoiNGJmMzM5M2QtZmY2OS00N2JjLWI0ZmQtMTViY2MzYTkwZTRhIiwic2VxdWVuY2UiOjE1LCJoYXNoIjoiUG5tNEJiWk9CZlFGTlBwRV9GZHFhLWlvRURiaFRtVXBISERpUWp4U3pNcyIsImVuZHMiOmZhbHNlfSx7ImNoYWluIjoiYzViNmE1YTUtMDJhYi00YzJlLWE2OGQtNjhhOWU2MDRhODk4Iiwic2VxdWVuY2UiOjE5LCJoYXNoIjoiSk96TkJMWmpoSHlyX2xaTHRFRHUyTVF1QTdPWnhia3l2bEp6bjRreFNLSSIsImVuZHMiOmZhbHNlfV19.YqcDCpNDDBs4qR-AXtmQe5r1iAZ_iIHA0Ui6aaMW5OzOwFM9ia2g0xd3KWer9F8gxj2TCwRn3D0EK8NDocnyS6UFmQVPxngaCMDspUvZonyY8RJOABo5Uo62dlNu68hcSDe7uQBY_TXMj2UkSDRBansmJKW0ivXCxAjk4ngTnHyYn6rDYw2jo4auMM_LOqHabeTpyysuYqWy13vd_Ch4C0IPE6s1Mhjub8zYe-YhWZeDfak7cFfsb00s4h0mAdE7b8xmqfBNSs6D5uMIF1XJ34yYEq6TwYccDAJ6NqHVs0LXsVI3WN9HQNSshTKsO04A6IwXOyKdiwBgExw5F4L_Sg', false);
INSERT INTO public.audit_checkpoint VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 4, '2026-11-28 13:53:35.77+00', 'eyJhbGciOiJSUzI1NiIsImtpZCI6IjA5ZTYzMDhlMmVjMDE0MDI4MWJiNTIwMTgwNGZkYzJlIiwieDV0I1MyNTYiOiJtb0RpTEJqZVdpLXB4UXBaN0dPZ1VEX2dwR2FvS3VHci1tZlVKMFE0N3gwIiwidHlwIjoic3Ryb25ncm9vbS1hdWRpdC1jaGVja3BvaW50K2p3dCJ9.eyJwb29sIjoiOGU3MmEzYzQtZjI5Mi00YmMxLThiN2QtNmQ1MTVkOTE0NmZlIiwibnVtYmVyIjo0LCJ0aW1lIjoiMjAyNi0xMS0yOFQxMzo1MzozNS43NzBaIiwicHJldmlvdXMiOiJtVndpRGd5N0FfWGZMMWdpeXBwTVRSRTVFSW1RVlc0WGZlQWxtcW15OFFrIiwiaGVhZHMiOlt7ImNoYWluIjoiNGJmMzM5M2QtZmY2OS00N2JjLWI0ZmQtMTViY2MzYTkwZTRhIiwic2VxdWVuY2UiOjI5LCJoYXNoIjoiQk5na0E0a2dIZmxZTzhINWFRZ3d3OVY4MWpTNk13Q204eHQ4TU9PT1gwayIsImVuZHMiOnRydWV9LHsiY2hhaW4iOiJjNWI2YTVhNS0wMmFiLTRjMmUtYTY4ZC02OGE5ZTYwNGE4OTgiLCJzZXF1ZW5jZSI6MjIsImhhc2giOiJucVdpNDdBT1dGUGZHMVh5R1ZTZWFfdUJWQmJ1ZmRMSVZYY1BKX0xjNU9nIiwiZW5kcyI6dHJ1ZX1dfQ.WxresksJa_bCRJat0jrvll5XtIuia9rhrkPbL7shjdsRKjoJbhHTjUSeM0d9hsQn16O9ZAH9qskPszJB1wSl2kkocCEcoV77KVUmQQzU-ooLv2pH05OP55ygoOr220glMUKl8sCQwnXTE84X6-g3jb7tUpqzYLGC43IEWIl0fAR9heyLZlBTPQ7vqT7xyyJ08P-F4MTg0XfvynCawBHcSDjYmRhpeDx44plWi3jG_sRQOB0z02yx1BfaeAt3YbSdtGVkkJaS0iGR98WsRtCOh70NAvfzUDCbVeDJ5mCULDvAj5nYzwfCoq73Y21MPSIIAv3AON-S95NZA8lbAA0M8g', false);
INSERT INTO public.audit_checkpoint_head VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 1, 11, true);
INSERT INTO public.audit_checkpoint_head VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 2, 4, false);
INSERT INTO public.audit_checkpoint_head VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 2, 5, false);
INSERT INTO public.audit_checkpoint_head VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 3, 15, false);
INSERT INTO public.audit_checkpoint_head VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 3, 19, false);
INSERT INTO public.audit_checkpoint_head VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 4, 29, true);
INSERT INTO public.audit_checkpoint_head VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 4, 22, true);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 1, '2026-11-28 13:53:15.042+00', '8c817223-8910-4d42-a2ad-2ab81409d306', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'PoolCreate', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 29, '{"after": {"name": "main", "keeping": "sealed", "tenantId": "ca4eab08-c3cb-4151-9ca5-a8606d665034", "activation": "hsm", "rootGeneration": 1, "softDeleteDays": 90, "purgeProtection": false}}', '\xd3e4ad2870998ae392c47b27cad81f42e6de46d833c74efb02920f7a55df35cc', '[{"row": "[]", "after": "2qVAfoe8990tw_ZC5TdC3wnMzJcGUIoHrHuRVLsYjKQ", "table": "pool", "revision": 1}, {"row": "[1]", "after": "zBOIvKCQYa-Y810uoz-LvtSuINNIy14uO0RBZNeQl5s", "table": "root_generation", "revision": 2}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00', '3f92b8bf-6533-40d3-994f-ce725c14b1f5', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'RoleDefinitionSeed', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 187, '{"after": {"roles": ["a290e904-7015-4bba-90c8-60543313cdb4", "515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "21dbd100-6940-42c2-9190-5d6cb909625b", "4bd23610-cdcf-4971-bdee-bdc562cc28e4", "2c18b078-7c48-4d3a-af88-5a3a1b3f82b3", "33413926-3206-4cdd-b39a-83574fe37a17", "21dbd100-6940-42c2-9190-5d6cb909625c", "7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8", "6efe6056-5259-49d2-8b3d-d3d73544b20b"]}}', '\x2c89c12d84e93c3cee32b26de2e873a24c96bf76846cfe8ceaf465b26b9cf3e8', '[{"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\"]", "after": "oWPCBXf1SnaH_sk0QhzZk1BexkLysS-JMPMyVwr8Ipk", "table": "role_definition", "revision": 3}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\"]", "after": "lADLTnME1SJXMvZF3nWyMmhOn5A4zrrGhuK7dsDVY2I", "table": "role_definition", "revision": 4}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\"]", "after": "_oyeyB6bnN2fVvAUu_j8dJshMSyFAWND4uFhul_I8G4", "table": "role_definition", "revision": 5}, {"row": "[\"4bd23610-cdcf-4971-bdee-bdc562cc28e4\"]", "after": "jmRLIQtTJJEo-u_S9i1dhh9tEVEyXozPYBnB20KyN44", "table": "role_definition", "revision": 6}, {"row": "[\"2c18b078-7c48-4d3a-af88-5a3a1b3f82b3\"]", "after": "02GRpLkPBisUJlFOlrknRDv5P33oq7aG4m4_3S6Hlis", "table": "role_definition", "revision": 7}, {"row": "[\"33413926-3206-4cdd-b39a-83574fe37a17\"]", "after": "t_ujZts4lNFC0pFqnJZK6AFks2Z2PPL8Xl3a5jZvf0E", "table": "role_definition", "revision": 8}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625c\"]", "after": "uoNHkmSfIDQWT_v7bU9A01NcyjvU7K8zEBX55qZQ0IQ", "table": "role_definition", "revision": 9}, {"row": "[\"7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8\"]", "after": "K5len_qqagYfaUI0jn8NxI4U8SHJbAxb3EdG_Gw1RKo", "table": "role_definition", "revision": 10}, {"row": "[\"6efe6056-5259-49d2-8b3d-d3d73544b20b\"]", "after": "0cmTyj6wcRZT2dzK_WdaCGkw_D2WhFF036yLzk_s668", "table": "role_definition", "revision": 11}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/roleAssignments/delete/action\"]", "after": "8dhyYOGLQ_VMAhT1oBCDXMya5LqNHbl0GavCsLDhLHk", "table": "role_permission", "revision": 12}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/roleAssignments/read/action\"]", "after": "aTniMw46fewb2XJMNnOskbuKpyeKIRiT2eVcjFdPgUQ", "table": "role_permission", "revision": 13}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/roleAssignments/write/action\"]", "after": "4quf5o6EQPiF391uS5gdE0JaM9fN5BXCFng9bBqEBDQ", "table": "role_permission", "revision": 14}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/roleDefinitions/read/action\"]", "after": "r9JcaQrrffyRD26LOtdsAB7PuU2e8FzUM1OvDZaDUeA", "table": "role_permission", "revision": 15}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/roleDefinitions/write/action\"]", "after": "7r-ojQklE2a6_yXK4dluJ7izkia4-c1trldEImtRLvI", "table": "role_permission", "revision": 16}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action\"]", "after": "0l6feAjBpZncjBP2ox2HV1cZbRNpTqj-Pp-sqKr6UOg", "table": "role_permission", "revision": 17}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/securitydomain/download/action\"]", "after": "heHq87KWMuOSu9FnrPl1MqsOedsCrLW5CcR6F1NR5D8", "table": "role_permission", "revision": 18}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/securitydomain/download/read\"]", "after": "1LWZ1sHEVy8K9Y5t3F1h_QV2Xt-I7s0n3TYn0Qwj9bg", "table": "role_permission", "revision": 19}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/securitydomain/upload/action\"]", "after": "Wl4BnrG--HkTPxrH9v5WrH4R8ZTUFkbnJtOVizGq--Y", "table": "role_permission", "revision": 20}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/securitydomain/upload/read\"]", "after": "ERJBbgL__vnUFyOJl6Jlov8sdiSXy7zBZsH3Gr8TFpc", "table": "role_permission", "revision": 21}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/securitydomain/transferkey/read\"]", "after": "UbPs5THth5esn769_qDci3i1workMkn0_4_dhHzRv2g", "table": "role_permission", "revision": 22}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/backup/start/action\"]", "after": "PyepFeYMGkxhmhE5PRjD5DBK7kSKKLkHj5yNae85k38", "table": "role_permission", "revision": 23}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/restore/start/action\"]", "after": "mk_wHd-th6kZ8FRym8t5I9ISKNDtdMzo_NCJCnsaqC0", "table": "role_permission", "revision": 24}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/backup/status/action\"]", "after": "K9waCP3PRSer9HCVzUtWBQu0LmL2RbMXlXSq2cUkKp4", "table": "role_permission", "revision": 25}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/restore/status/action\"]", "after": "REPBn2rNfyNxji8Zu16fEBQgSl7i3HhF_xR21Y5uCmo", "table": "role_permission", "revision": 26}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/settings/read/action\"]", "after": "W5jETal5XiUP2oWcy2T1FvTMIUkRfi2XfyFYM-X4q50", "table": "role_permission", "revision": 27}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Microsoft.KeyVault/managedHsm/settings/write/action\"]", "after": "6gpaK09GrmOhgdJdEij7TlXzw4s1wNR7nTsViDeo3uI", "table": "role_permission", "revision": 28}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Strongroom/audit/read/action\"]", "after": "miRDycRNKbVeoVgmd8QdKE7WWD-KqypY1vzuQlc77uI", "table": "role_permission", "revision": 29}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Strongroom/directory/read/action\"]", "after": "J8o6JOFrinj_h5mpJY8uNuh3Unbv3BmcaUvC-UHw6pY", "table": "role_permission", "revision": 30}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Strongroom/directory/write/action\"]", "after": "nKifpdOjGIM53JxRy-y-OgAiQaUyPbeAwFOmHHP4X-M", "table": "role_permission", "revision": 31}, {"row": "[\"a290e904-7015-4bba-90c8-60543313cdb4\", \"Strongroom/access/explain/action\"]", "after": "L2jLyT66yIlQH2hby92uU2IV80MVZlXhV-E2x4lOYvA", "table": "role_permission", "revision": 32}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\", \"Microsoft.KeyVault/managedHsm/roleAssignments/delete/action\"]", "after": "IEExy493_vNrRvRwkLGUvxAdkvkqOvkv1SwlI-no4yo", "table": "role_permission", "revision": 33}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\", \"Microsoft.KeyVault/managedHsm/roleAssignments/read/action\"]", "after": "PbLML91UJvoJrEEW1JhgVJoBTMV5uoth0kphmr9XhAU", "table": "role_permission", "revision": 34}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\", \"Microsoft.KeyVault/managedHsm/roleAssignments/write/action\"]", "after": "xw11NuvFnSJGEhUlU1QcJG0pYTpavnIaW77gI9-1Z9Q", "table": "role_permission", "revision": 35}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\", \"Microsoft.KeyVault/managedHsm/roleDefinitions/read/action\"]", "after": "qaY3besrilGipfwxI832IaZhLW6o1yy6T5dxp8O0FPc", "table": "role_permission", "revision": 36}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\", \"Microsoft.KeyVault/managedHsm/roleDefinitions/write/action\"]", "after": "eqA4PftvHYDJwyjf_Xj_P5D55DhytodLQaQfSpeQpHo", "table": "role_permission", "revision": 37}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\", \"Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action\"]", "after": "P96xuCzHFlSAKhTnSJ-TQPGBZglUVBmMJuMvIbw79L8", "table": "role_permission", "revision": 38}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\", \"Microsoft.KeyVault/managedHsm/keys/delete\"]", "after": "SsAiIqfwkVJmFtwifby2rqucYJs07bijzLeR5iqVqdc", "table": "role_permission", "revision": 39}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\", \"Microsoft.KeyVault/managedHsm/keys/deletedKeys/read/action\"]", "after": "r3HjzIHyZJH9NQ4bSL7LTFtGS3zSd9Wk0YZ35c03MtM", "table": "role_permission", "revision": 40}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\", \"Microsoft.KeyVault/managedHsm/keys/deletedKeys/delete\"]", "after": "tJo-Ic25Zsm32oRmF-tbuMrDwAh5Ie01xjRrCV6qUGU", "table": "role_permission", "revision": 41}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\", \"Microsoft.KeyVault/managedHsm/keys/deletedKeys/recover/action\"]", "after": "mdmx0C6sIGNoC-WCy7cuhoyGIzY9RhaT_QsGYfKIyW0", "table": "role_permission", "revision": 42}, {"row": "[\"515eb02d-2335-4d2d-92f2-b1cbdf9c3778\", \"Microsoft.KeyVault/managedHsm/keys/export/action\"]", "after": "IQ-RTVy25wU55QcVcCm8v31BdaMktMOnzu6jjWptZRk", "table": "role_permission", "revision": 43}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/roleDefinitions/read/action\"]", "after": "_bRRkPUJ3HzC8i9XSJSJBXh1ivW-jrD7sl2wSufpyLc", "table": "role_permission", "revision": 44}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/roleAssignments/read/action\"]", "after": "joD1Z2kY6PjHcOobjO8n_nkJg7BRykcEvvqp_-ABmDM", "table": "role_permission", "revision": 45}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/read/action\"]", "after": "OZQln9tj7xxpDGwaizm2b-1liiU52ZnH0oWIsLkcaXk", "table": "role_permission", "revision": 46}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/write/action\"]", "after": "wnPHAqtRMa5en7J2dC8NPWXA9zyzZC-fOD0aDBhMBUI", "table": "role_permission", "revision": 47}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/create\"]", "after": "XlgH3m8wT3tre3LGpClXZqdfUmoD0_3u0GzTEU8WST0", "table": "role_permission", "revision": 48}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/rotate/action\"]", "after": "yHgNT_dc_BXN7mVmVIX1vR99i8CreDNSVSU-fc-UEF8", "table": "role_permission", "revision": 49}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/import/action\"]", "after": "XoGNzj04jF72G7laypdXQZCHApNes12l3BVoTOziw5Q", "table": "role_permission", "revision": 50}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/release/action\"]", "after": "CD_Z9zR2K_Ut-p_ssqh1xE0RGoLQmwWtdSAsL8Ei864", "table": "role_permission", "revision": 51}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/backup/action\"]", "after": "zDOXvjXNvIRx1x9NyzEXHYX5QRvrLozbvWG7viFugkc", "table": "role_permission", "revision": 52}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00', '3f92b8bf-6533-40d3-994f-ce725c14b1f5', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'StateWitnessed', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 0, NULL, '\x4dcd00b485a05c5bbd83a460cbafb53659af81d1075eebd330c4011f9192ea49', '[{"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/restore/action\"]", "after": "sV-l1fzPcQ5JlY_3rRRKWrF3JvG5FlN3fhjhWe2AqH4", "table": "role_permission", "revision": 53}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/encrypt/action\"]", "after": "s-bMKQfVquY_E_8yb7Ca3kGyNnW_80zr0r_RbZCTtgk", "table": "role_permission", "revision": 54}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/decrypt/action\"]", "after": "Rvl4GjKVibXzlNFsiLl2G9XxRyO2qZQJ3oVze56P8Fk", "table": "role_permission", "revision": 55}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/wrap/action\"]", "after": "x3G_foyTa2Qa99cxRzfP2p3YdqrQ6aizFylk1YY2KEE", "table": "role_permission", "revision": 56}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/unwrap/action\"]", "after": "yuHdX0L53dbk56_0WvhwLVpljh84RcJ8GdQ6VDEiyhg", "table": "role_permission", "revision": 57}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/sign/action\"]", "after": "UXG1u2_KnRS_Qa5cfJfwnxioOt4aw9ygi00LyU2SgBo", "table": "role_permission", "revision": 58}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/verify/action\"]", "after": "XTiBijtm-jBxCuqc8utJXaTFUuhYqBwqJrZadr-OB6s", "table": "role_permission", "revision": 59}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/keys/derive/action\"]", "after": "qYp0b_VyjCi-norik2UXCOK4AcGaJb9NWCiIPhCDtkQ", "table": "role_permission", "revision": 60}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625b\", \"Microsoft.KeyVault/managedHsm/rng/action\"]", "after": "EfMvOeuJccenOre3idsB2A_bAORqw0udltnavNz96C8", "table": "role_permission", "revision": 61}, {"row": "[\"4bd23610-cdcf-4971-bdee-bdc562cc28e4\", \"Microsoft.KeyVault/managedHsm/roleDefinitions/read/action\"]", "after": "-FymI0_G7XjoXRjs_IGvhnGpiw28cmzkZFkrWTxggtI", "table": "role_permission", "revision": 62}, {"row": "[\"4bd23610-cdcf-4971-bdee-bdc562cc28e4\", \"Microsoft.KeyVault/managedHsm/roleDefinitions/write/action\"]", "after": "6CvdRSGvVc3aTRfCdvEzv8WYx6-UMiknPknuecNNme4", "table": "role_permission", "revision": 63}, {"row": "[\"4bd23610-cdcf-4971-bdee-bdc562cc28e4\", \"Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action\"]", "after": "zmaXaZm7T5rGcJL9Zf5hSirV5W_LkNbJW0I4eFHzy9Q", "table": "role_permission", "revision": 64}, {"row": "[\"4bd23610-cdcf-4971-bdee-bdc562cc28e4\", \"Microsoft.KeyVault/managedHsm/roleAssignments/read/action\"]", "after": "nbLZlW1-5L9YnXPvk6rVFeiWrb3Ho6CuwrSfEbjp-9Y", "table": "role_permission", "revision": 65}, {"row": "[\"4bd23610-cdcf-4971-bdee-bdc562cc28e4\", \"Microsoft.KeyVault/managedHsm/roleAssignments/write/action\"]", "after": "WA-tP1GR-SyzajDyAy4F-gvv72yDzvWCnxg2Jo-dWUg", "table": "role_permission", "revision": 66}, {"row": "[\"4bd23610-cdcf-4971-bdee-bdc562cc28e4\", \"Microsoft.KeyVault/managedHsm/roleAssignments/delete/action\"]", "after": "YYcFvu9jQfksRodK9eEeXOHTkUZn24sm1QuBq4uRD94", "table": "role_permission", "revision": 67}, {"row": "[\"2c18b078-7c48-4d3a-af88-5a3a1b3f82b3\", \"Microsoft.KeyVault/managedHsm/roleAssignments/read/action\"]", "after": "ZpRqw-gphxTkddWBQWBCSaYasvr2dmLG_NywrLPVWZ8", "table": "role_permission", "revision": 68}, {"row": "[\"2c18b078-7c48-4d3a-af88-5a3a1b3f82b3\", \"Microsoft.KeyVault/managedHsm/roleDefinitions/read/action\"]", "after": "jxA5041q6-_whvMVjXOzzaqpHibFhA87wAH2yeq1NoU", "table": "role_permission", "revision": 69}, {"row": "[\"2c18b078-7c48-4d3a-af88-5a3a1b3f82b3\", \"Microsoft.KeyVault/managedHsm/keys/read/action\"]", "after": "NBompeMS9sia_mRfRKzoEqRf23TCQUZ7fC289JRI_zM", "table": "role_permission", "revision": 70}, {"row": "[\"2c18b078-7c48-4d3a-af88-5a3a1b3f82b3\", \"Microsoft.KeyVault/managedHsm/keys/deletedKeys/read/action\"]", "after": "zaWnEQuJD2-vahzlQFx9QputSaWifKRhw7OICA128uU", "table": "role_permission", "revision": 71}, {"row": "[\"2c18b078-7c48-4d3a-af88-5a3a1b3f82b3\", \"Strongroom/audit/read/action\"]", "after": "8W_r7e2a7dedT_pfP-j1MEI-LKmJHrNn5V5K_-tYyOs", "table": "role_permission", "revision": 72}, {"row": "[\"33413926-3206-4cdd-b39a-83574fe37a17\", \"Microsoft.KeyVault/managedHsm/keys/read/action\"]", "after": "eLIPYWBc7PeeE8CCbcrF_qmATXB_TI7BPwM5ht57aRo", "table": "role_permission", "revision": 73}, {"row": "[\"33413926-3206-4cdd-b39a-83574fe37a17\", \"Microsoft.KeyVault/managedHsm/keys/wrap/action\"]", "after": "t0rclBW1NAOgiN-CWvJV1AgcxUNBpdO2v9MYs9gRETA", "table": "role_permission", "revision": 74}, {"row": "[\"33413926-3206-4cdd-b39a-83574fe37a17\", \"Microsoft.KeyVault/managedHsm/keys/unwrap/action\"]", "after": "kxR1NjilP6FtoD0b_-8RZCFo7_ihCjMaobMFxTjYbEU", "table": "role_permission", "revision": 75}, {"row": "[\"21dbd100-6940-42c2-9190-5d6cb909625c\", \"Microsoft.KeyVault/managedHsm/keys/release/action\"]", "after": "g1pH8smvSDIJnsglEJ3Tp90mwk7sHU6b7vaMqx72oJ8", "table": "role_permission", "revision": 76}, {"row": "[\"7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8\", \"Microsoft.KeyVault/managedHsm/backup/start/action\"]", "after": "nsnScxXWlOV5zKfQEFNv4wWH_B_KDiT3IlLgHNuLbII", "table": "role_permission", "revision": 77}, {"row": "[\"7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8\", \"Microsoft.KeyVault/managedHsm/backup/status/action\"]", "after": "7E9SMKxp_em6GM1HYFcZvvuuHH1P6vpr5G9fxiUSJpU", "table": "role_permission", "revision": 78}, {"row": "[\"7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8\", \"Microsoft.KeyVault/managedHsm/keys/backup/action\"]", "after": "MIw-gLVDB5WJYOwFZfCF3cBFycjJFvUgBUAFBMQc5H0", "table": "role_permission", "revision": 79}, {"row": "[\"6efe6056-5259-49d2-8b3d-d3d73544b20b\", \"Microsoft.KeyVault/managedHsm/keys/restore/action\"]", "after": "e3A0VsjD3z6XUfQzzc3bBw3pN61iTyrnVp2AuFZP-HI", "table": "role_permission", "revision": 80}, {"row": "[\"6efe6056-5259-49d2-8b3d-d3d73544b20b\", \"Microsoft.KeyVault/managedHsm/restore/start/action\"]", "after": "62nCB5uk36WFPLBicj-hr9CvmVBghcZGjbzS3REDHBE", "table": "role_permission", "revision": 81}, {"row": "[\"6efe6056-5259-49d2-8b3d-d3d73544b20b\", \"Microsoft.KeyVault/managedHsm/restore/status/action\"]", "after": "1i-MZKy5J8LO8ulE-AEP2J4PVYsqqnl49_SPOlsS_XY", "table": "role_permission", "revision": 82}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 4, '2026-11-28 13:53:15.323+00', '85ac1381-de24-4126-b35d-5f143cd5cd41', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'BackupKeysCreate', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 21, '{"after": {"version": "d80ff5f794b33b696534848bd1ab100f"}}', '\x61656283d7a5cfe0189571ce219c8ea77b038375170f117bfc6bde2d8f639468', '[{"row": "[\"d80ff5f794b33b696534848bd1ab100f\"]", "after": "8aMQsdZ5qiEhwd30fdzYJ3mxvnKf3e_6inOGnVlO-cA", "table": "backup_keys", "revision": 83}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 5, '2026-11-28 13:53:15.974+00', '93525ac9-e640-4ef4-a630-39dbd957c094', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'SigningKeyCreate', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 632, '{"after": {"keyId": "871788f7f14b6bb199d42e84cc45e53c"}}', '\x1831f9abfd45c3c95b8e40f24bbd04fb94cdf8d03bc129e5bb2b0893e686fc1e', '[{"row": "[\"871788f7f14b6bb199d42e84cc45e53c\"]", "after": "LC2s5f0yjhx5CeOsUh5OqD4_qF8cRl2kiEl_ImYcd4Q", "table": "signing_key", "revision": 84}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 6, '2026-11-28 13:53:15.984+00', 'cd7b7911-3b6f-43e5-9be6-57991b17cbd9', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'Bootstrap', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 2, '{"after": {"id": "71f811f8-c1e5-4d05-b4fb-74466fe5cab8", "appId": "2b45fff8-c410-4f30-a0f5-3a17f9f3e78c", "createdAt": "2026-11-28T13:53:15.982Z", "displayName": "Bootstrap administrator"}}', '\x899bbfafc255277b9a58821b091342637d66fe019feec4fc33b2cc76c86a24f4', '[{"row": "[\"71f811f8-c1e5-4d05-b4fb-74466fe5cab8\"]", "after": "dqqn6QoWkoIl8_zohKCZMHVu_oEgt1g_KYzZ7BdjOig", "table": "application", "revision": 85}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 7, '2026-11-28 13:53:16.431+00', '9a531353-8573-429b-a3f0-c8b627127278', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'Bootstrap', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 437, '{"after": {"keyId": "636e170b-55b7-4a3e-b38b-f9da3027036e", "endsAt": "2028-11-28T13:53:15.999Z", "startsAt": "2026-11-28T13:53:15.999Z", "applicationId": "71f811f8-c1e5-4d05-b4fb-74466fe5cab8"}}', '\x2273de658ee66cf75c29eafcee79c0d5b4ea9412e65380e0f008cc9eb0608792', '[{"row": "[\"71f811f8-c1e5-4d05-b4fb-74466fe5cab8\", \"636e170b-55b7-4a3e-b38b-f9da3027036e\"]", "after": "0r6cNIK95mFGDGR0ffecEI8IzesaynYaBJSj4yI7bZ0", "table": "application_password", "revision": 86}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 8, '2026-11-28 13:53:16.454+00', 'c1807dcb-2ce4-4f0f-ba81-70458a9c5868', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'Bootstrap', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 7, '{"after": {"id": "96e7b736-1332-4d15-8840-d8a1f4811622", "appId": "2b45fff8-c410-4f30-a0f5-3a17f9f3e78c", "enabled": true, "displayName": "Bootstrap administrator"}}', '\x6c30bf14d824397f5f59d365bda3ed5851e62b3a8dd02a9afc5f256c20a272ef', '[{"row": "[\"96e7b736-1332-4d15-8840-d8a1f4811622\"]", "after": "lA-QwKjfVgrlwVq2k5dgT6ULMD80vTpDpwW4L0Ioi9I", "table": "service_principal", "revision": 87}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 9, '2026-11-28 13:53:16.477+00', 'f953e704-5ea4-462a-8756-f1c4b7870be2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'Bootstrap', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 10, '{"after": {"id": "bb3ce225-31af-4ab2-ad1e-0018c7e70815", "scope": "/", "principalId": "96e7b736-1332-4d15-8840-d8a1f4811622", "roleDefinitionId": "a290e904-7015-4bba-90c8-60543313cdb4"}}', '\x5a5fa182a95bb9f70f7bd92666cfa535beb96d329ae415b5de8af5b52c633f78', '[{"row": "[\"bb3ce225-31af-4ab2-ad1e-0018c7e70815\"]", "after": "mJZ9p1tl78veeFmBjoNbFSQyEEKk3_Vw7b3P9f6WDHc", "table": "role_assignment", "revision": 88}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 10, '2026-11-28 13:53:17.574+00', '5b1645da-2832-4214-8e9c-f56539990e99', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'StatementKeyCreate', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 6, '{"after": {"purpose": "root", "version": "57db45f53c02c44738cde4bb072710d5"}}', '\xaebb804bd5de37ecc16f6d3a4fba88390df141fad2a005720a54ea6bd9c8539e', '[{"row": "[\"57db45f53c02c44738cde4bb072710d5\"]", "after": "FRccK4hoS5gIP7uoyICenkQ-qq61MQwqrZxS8xOO064", "table": "statement_key", "revision": 89}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 11, '2026-11-28 13:53:18.131+00', '123185ec-deac-4a43-9fd2-2d3dd01378a2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'StatementKeyCreate', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 11, '{"after": {"purpose": "audit", "version": "09e6308e2ec0140281bb5201804fdc2e"}}', '\x9bba27db99eabd7f3fe7cee6da184ba4e7f91f4fe68d470b8c502769d06fb2a8', '[{"row": "[\"09e6308e2ec0140281bb5201804fdc2e\"]", "after": "Tmb9FfehShFAoUhyYdad7pftt1GLjmlg5cc0GO4q38o", "table": "statement_key", "revision": 90}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 1, '2026-11-28 13:53:23.306+00', '72527b11-6acc-473e-a944-8a35fc75f21f', NULL, NULL, '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', NULL, '127.0.0.1', NULL, 'TokenIssue', NULL, NULL, NULL, NULL, NULL, 'success', 200, NULL, NULL, 607, NULL, '\x79b27650bd25c7bf2d55b64d6bdfd84f4fb13fb2ceff5780cfac089b629a972a', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 1, '2026-11-28 13:53:23.546+00', 'a406b83e-f5f3-4abd-8bef-67243f9dea71', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'RoleAssignmentCreate', 'Microsoft.KeyVault/managedHsm/roleAssignments/write/action', '/', NULL, NULL, NULL, 'success', 201, NULL, NULL, 155, '{"after": {"id": "fb89c826-3722-4fa5-a2ed-3b50effdbdf4", "scope": "/", "roleName": "Managed HSM Crypto Officer", "principalId": "96e7b736-1332-4d15-8840-d8a1f4811622", "roleDefinitionId": "515eb02d-2335-4d2d-92f2-b1cbdf9c3778"}}', '\xcb2c9ee10dcadc138f924693386b23f926087ea9eb876f9a37439bbe8363dcfb', '[{"row": "[\"fb89c826-3722-4fa5-a2ed-3b50effdbdf4\"]", "after": "DBYHcSW6A5tWNXnK6IWy3ZpSpsjny2GK-PAbU7yfy50", "table": "role_assignment", "revision": 91}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 2, '2026-11-28 13:53:23.65+00', 'b9994b9a-5aa9-4f1b-821b-3fce2d3d27cf', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'RoleAssignmentCreate', 'Microsoft.KeyVault/managedHsm/roleAssignments/write/action', '/', NULL, NULL, NULL, 'success', 201, NULL, NULL, 76, '{"after": {"id": "fb16b280-15ac-4f9e-ba60-7cd9f6217682", "scope": "/", "roleName": "Managed HSM Crypto User", "principalId": "96e7b736-1332-4d15-8840-d8a1f4811622", "roleDefinitionId": "21dbd100-6940-42c2-9190-5d6cb909625b"}}', '\x5dd375a7350c10395a5053a3a4161fb9323d43cfeef0c07941a1d523f8c87fbc', '[{"row": "[\"fb16b280-15ac-4f9e-ba60-7cd9f6217682\"]", "after": "pUaC3xnTbDoxpCkqZuI64lTksIYwjXEECzwIywozi5U", "table": "role_assignment", "revision": 92}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 3, '2026-11-28 13:53:25.323+00', '69d443cc-c1f1-4b81-b7d3-24c48c3556b5', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/rsa-2048', 'rsa-2048', '7b0cf22265ffbb8bacc79518db832013', NULL, 'success', 200, NULL, NULL, 1639, NULL, '\xb70903bfc2d33fb20dc7da1045bbcc8f6ff20abbcdfac88346c4bdad57142f8c', '[{"row": "[\"rsa-2048\"]", "after": "0iu5tau4LHsBHHbivrM8ccPI_44-57UoEYjvJKedKlI", "table": "key", "revision": 93}, {"row": "[\"rsa-2048\", \"7b0cf22265ffbb8bacc79518db832013\"]", "after": "kuTcqO7J70q2fJS10FpgEZlXgo3nK9rWx_aaN5o9bIA", "table": "key_version", "revision": 94}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 2, '2026-11-28 13:53:25.37+00', 'fa6d0367-bf98-40fd-88ff-7b467feaa5ea', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyWrap', 'Microsoft.KeyVault/managedHsm/keys/wrap/action', '/keys/rsa-2048', 'rsa-2048', '7b0cf22265ffbb8bacc79518db832013', 'RSA-OAEP-256', 'success', 200, NULL, NULL, 20, NULL, '\x237e2c813cd1ba55c4d60c9858de094ad4698d83007bd51bedee08154be6fd5c', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 3, '2026-11-28 13:53:25.411+00', '2baa9169-c175-4967-b9ac-664b0d56989f', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeySign', 'Microsoft.KeyVault/managedHsm/keys/sign/action', '/keys/rsa-2048', 'rsa-2048', '7b0cf22265ffbb8bacc79518db832013', 'RS256', 'success', 200, NULL, NULL, 15, NULL, '\x934a2f8cd07797ea56f58dcc95c52bb3eee654181263553a388f7b720379a96e', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 4, '2026-11-28 13:53:26.94+00', '48a0cfa7-b996-4a79-983a-0a6cbb8eda00', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyWrap', 'Microsoft.KeyVault/managedHsm/keys/wrap/action', '/keys/rsa-3072', 'rsa-3072', 'fcce822fe1c0dc5d74a13d6f6759fcc9', 'RSA-OAEP', 'success', 200, NULL, NULL, 14, NULL, '\x381877faabaf65dbe281fbf83d8f9f22d0d24df29e796df44f1faebb14594b2e', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 5, '2026-11-28 13:53:26.97+00', 'e84191be-4ac6-4b2a-a9c1-d45288c0fa9f', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeySign', 'Microsoft.KeyVault/managedHsm/keys/sign/action', '/keys/rsa-3072', 'rsa-3072', 'fcce822fe1c0dc5d74a13d6f6759fcc9', 'PS384', 'success', 200, NULL, NULL, 18, NULL, '\x57070184935be2e9e9e7466fee773f4f9ae3098f4fb2827b0f625d1d5fda9ed3', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 6, '2026-11-28 13:53:31.533+00', '32be377c-94d9-46f5-a902-0ecf64a07e5c', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyWrap', 'Microsoft.KeyVault/managedHsm/keys/wrap/action', '/keys/rsa-4096', 'rsa-4096', '85ad59715263eba17dc48134d9202e4d', 'RSA-OAEP-256', 'success', 200, NULL, NULL, 11, NULL, '\x3448bb67d58b8987d0b87a825efc651609d467aa6382ca55e89ad6a2800793ed', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 7, '2026-11-28 13:53:31.56+00', 'ee8e21b5-7908-4bb4-9af5-e99dc52af958', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeySign', 'Microsoft.KeyVault/managedHsm/keys/sign/action', '/keys/rsa-4096', 'rsa-4096', '85ad59715263eba17dc48134d9202e4d', 'RS512', 'success', 200, NULL, NULL, 24, NULL, '\x4dc997a8a79ba6ae78f23ee906f3ed05391e1451e0f335dffe81e32269392665', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 8, '2026-11-28 13:53:31.635+00', '9e6ab713-1aaa-4de7-8e84-03a2c399ea27', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeySign', 'Microsoft.KeyVault/managedHsm/keys/sign/action', '/keys/ec-256', 'ec-256', 'd9e0ef1e3e0d190b61e644b912d2f7cf', 'ES256', 'success', 200, NULL, NULL, 13, NULL, '\x8a01ff344fed3baf0b750083c13e276a5f3d90dbba6fb2c60c4024f84106e23e', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 9, '2026-11-28 13:53:31.749+00', '81bddf16-2499-47c4-8a97-f66fdf13f249', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeySign', 'Microsoft.KeyVault/managedHsm/keys/sign/action', '/keys/ec-384', 'ec-384', '794ad97b2b6f6e8c897918e3d03fedb5', 'ES384', 'success', 200, NULL, NULL, 22, NULL, '\x2b43a7103bf7a8cfb08782d0ca55c72f07f4312a8dd5c7445ef27aa469b4be07', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 10, '2026-11-28 13:53:31.857+00', '993d113b-3837-4c13-8474-782d042b8d95', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeySign', 'Microsoft.KeyVault/managedHsm/keys/sign/action', '/keys/ec-521', 'ec-521', '2b787d2ac7dff73157266e5191bacbce', 'ES512', 'success', 200, NULL, NULL, 34, NULL, '\x12dbeda7b3dc59c6556e2b4784aa8127686d4f137af93bf82456cb3262258b56', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 11, '2026-11-28 13:53:31.959+00', '605d5fb9-22ff-49b2-8fde-8e19b3cd9f8b', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeySign', 'Microsoft.KeyVault/managedHsm/keys/sign/action', '/keys/ec-256k', 'ec-256k', 'ac8ad2afaefccf66365737b95e8cc3e1', 'ES256K', 'success', 200, NULL, NULL, 15, NULL, '\xb2026cfecd11dc760c6ed68e243b63700db8fb52b111665f8730a8d74fbc112e', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 12, '2026-11-28 13:53:32.081+00', '2487bacb-fbac-4899-b79c-94365d5ad086', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyWrap', 'Microsoft.KeyVault/managedHsm/keys/wrap/action', '/keys/oct-128', 'oct-128', '26ad88f1c814ca4b656de3a50ab761fe', 'A128KW', 'success', 200, NULL, NULL, 19, NULL, '\x7aa7a69191c09def259d423b7290a794ef5227da8f47843cf992f65fe903c49f', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 13, '2026-11-28 13:53:32.118+00', '8b91a429-876f-4a50-b6e9-8010fb205b38', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyEncrypt', 'Microsoft.KeyVault/managedHsm/keys/encrypt/action', '/keys/oct-128', 'oct-128', '26ad88f1c814ca4b656de3a50ab761fe', 'A128GCM', 'success', 200, NULL, NULL, 23, NULL, '\x0712db60a4e71876287533d0a701c0adcfd32f08feb5dc07c7e1d646719f8b42', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 14, '2026-11-28 13:53:32.219+00', '006e7c65-23b3-4374-babb-accbd78461b9', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyWrap', 'Microsoft.KeyVault/managedHsm/keys/wrap/action', '/keys/oct-192', 'oct-192', '06267bc6b171de9d5e6e438d4d295cdb', 'A192KW', 'success', 200, NULL, NULL, 23, NULL, '\xa63820f805180c7ec0ba92932925b899a581354e5f1f8982d8855adb72d0c2f1', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 15, '2026-11-28 13:53:32.266+00', '8a952c20-b842-4fc3-9e0b-4b2f9344d23f', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyEncrypt', 'Microsoft.KeyVault/managedHsm/keys/encrypt/action', '/keys/oct-192', 'oct-192', '06267bc6b171de9d5e6e438d4d295cdb', 'A192GCM', 'success', 200, NULL, NULL, 36, NULL, '\xbd1479a2691321ef31408e5fb47939c1f6cce5dff0d67161b7e6176a998a2026', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 16, '2026-11-28 13:53:32.336+00', '6583cd67-0050-4a0c-8cc6-f337026f2ac4', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyWrap', 'Microsoft.KeyVault/managedHsm/keys/wrap/action', '/keys/oct-256', 'oct-256', 'f1ed96e418aa85096ec373fd842deeda', 'A256KW', 'success', 200, NULL, NULL, 11, NULL, '\x25061a7b9d6ee4bbbb688de4bd804762064352c8eace7b9609c44ddf10f7a65c', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 17, '2026-11-28 13:53:32.381+00', 'dfb20cc3-e181-4731-a525-f11cb51ff144', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyEncrypt', 'Microsoft.KeyVault/managedHsm/keys/encrypt/action', '/keys/oct-256', 'oct-256', 'f1ed96e418aa85096ec373fd842deeda', 'A256GCM', 'success', 200, NULL, NULL, 32, NULL, '\x8aadd13deb3fc76050b64699ede0432efd1e4fc47bacd4179bdb355c04ef515c', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 18, '2026-11-28 13:53:32.672+00', '660a3fc7-e99d-43d5-b314-4adf1026751f', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyWrap', 'Microsoft.KeyVault/managedHsm/keys/wrap/action', '/keys/oct-256', 'oct-256', 'e9f9199438d09eff79ddbd849304a292', 'A256KW', 'success', 200, NULL, NULL, 3, NULL, '\x7709f1c93585b7f3a0905933d6e2eddc0dbe0fc3c2866b21534879f627e0182d', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 19, '2026-11-28 13:53:32.893+00', '58c2452d-0343-4213-b6e4-793077ed1456', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyWrap', 'Microsoft.KeyVault/managedHsm/keys/wrap/action', '/keys/imported', 'imported', '17b5bd594b245259833bbc0552bdcef0', 'A256KW', 'success', 200, NULL, NULL, 6, NULL, '\x24eccd04b663847cabfe564bb440eed8c42e03b399c5b932be52739f893148a2', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 20, '2026-11-28 13:53:33.53+00', '64c3d55b-2384-45b4-94f1-9762cbe9e1a6', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeySign', 'Microsoft.KeyVault/managedHsm/keys/sign/action', '/keys/exportable', 'exportable', '74aedddef53e84959cc30f165e6355e8', 'PS256', 'success', 200, NULL, NULL, 5, NULL, '\x873088df7e39b2458b765504bd2aedfc3ebef41bc02cc9d60d5d529c6d632b2e', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 4, '2026-11-28 13:53:26.885+00', '85806d1f-ce00-400e-829b-f7c4d2a79b13', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/rsa-3072', 'rsa-3072', 'fcce822fe1c0dc5d74a13d6f6759fcc9', NULL, 'success', 200, NULL, NULL, 1455, NULL, '\x7629f88fc2f46b2376a304d0a3e7ee064efc0e22c4f892fb06a76e48548f2367', '[{"row": "[\"rsa-3072\"]", "after": "WCFofShHvOSUy14olEjnkxMnUFKRQ3aRrLbbiFAmxZs", "table": "key", "revision": 95}, {"row": "[\"rsa-3072\", \"fcce822fe1c0dc5d74a13d6f6759fcc9\"]", "after": "rVGEZC76oVsSuuhBgUDy52XzFtr7kuJE3bumCZtr248", "table": "key_version", "revision": 96}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 5, '2026-11-28 13:53:31.495+00', '09b8e5ee-4d05-43f8-b576-43b47fe28d4c', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/rsa-4096', 'rsa-4096', '85ad59715263eba17dc48134d9202e4d', NULL, 'success', 200, NULL, NULL, 4495, NULL, '\x4f126edae181c3a4d114d523a7864fb919dd20ebd482f8e4f9455e1eddbfe480', '[{"row": "[\"rsa-4096\"]", "after": "Ol-nTugVLG4sxlL2eeD1uRiV9iqlzXXm7yFc73jClNw", "table": "key", "revision": 97}, {"row": "[\"rsa-4096\", \"85ad59715263eba17dc48134d9202e4d\"]", "after": "gAhL8UsQTNNdu509Mq9N022Qa7PKG-YQuay3p-phhq0", "table": "key_version", "revision": 98}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 6, '2026-11-28 13:53:31.602+00', 'd45296f6-9582-402c-8b3a-4c4568f4252d', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/ec-256', 'ec-256', 'd9e0ef1e3e0d190b61e644b912d2f7cf', NULL, 'success', 200, NULL, NULL, 25, NULL, '\xa4a4dfcec557547418bb2316f931c695c88c1fc2c60f1f6d6d4dedd4bb69013b', '[{"row": "[\"ec-256\"]", "after": "nwVYnCLgGFxJELELtGKC9atoru9dY_Bbp496wti8l1Y", "table": "key", "revision": 99}, {"row": "[\"ec-256\", \"d9e0ef1e3e0d190b61e644b912d2f7cf\"]", "after": "ndLOcvFTtjYMT33uTRGykCK3NI1sAKGKCxOBMuhonCg", "table": "key_version", "revision": 100}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 7, '2026-11-28 13:53:31.689+00', '239c0803-84ee-42f7-a7b8-caf78f49043c', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/ec-384', 'ec-384', '794ad97b2b6f6e8c897918e3d03fedb5', NULL, 'success', 200, NULL, NULL, 37, NULL, '\xdf82761cce20cb003d1e098cc83f00b5fef09c58e60ee0e86742688bf471051e', '[{"row": "[\"ec-384\"]", "after": "wLy7InoswjdwK50ZjSXPAL4cOI7T6kXsciqcK-EwuTk", "table": "key", "revision": 101}, {"row": "[\"ec-384\", \"794ad97b2b6f6e8c897918e3d03fedb5\"]", "after": "t1204T_K9Nh5xtZA1iOtXNMWy5u6nXBmlTfe-qqgVPQ", "table": "key_version", "revision": 102}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 8, '2026-11-28 13:53:31.8+00', '60eb38ea-b714-4086-9b50-fcc88676fcf9', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/ec-521', 'ec-521', '2b787d2ac7dff73157266e5191bacbce', NULL, 'success', 200, NULL, NULL, 38, NULL, '\x9108ece45ce5a3955454ad2afaef2cbe794ceae9f1f1b15a4af3b7d5adcd8b18', '[{"row": "[\"ec-521\"]", "after": "lEvU7z45GHg-IJ0vciMkydilE3JbccJBAU97ukLCZhQ", "table": "key", "revision": 103}, {"row": "[\"ec-521\", \"2b787d2ac7dff73157266e5191bacbce\"]", "after": "K_jyPjTMOWbVckt_hVGjJT3ynfexTOFta-0YxUKjZ60", "table": "key_version", "revision": 104}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 9, '2026-11-28 13:53:31.915+00', 'd0f6d8df-24de-4d48-a91c-484f72136f0a', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/ec-256k', 'ec-256k', 'ac8ad2afaefccf66365737b95e8cc3e1', NULL, 'success', 200, NULL, NULL, 42, NULL, '\x9da9ffc7faead42fb941ae690adb23e2751460bd8d2f45453c12dc16863604ed', '[{"row": "[\"ec-256k\"]", "after": "HgMZrP0RwQymlM9u5JVB7hap5GHj0SswSjpjFdfex1A", "table": "key", "revision": 105}, {"row": "[\"ec-256k\", \"ac8ad2afaefccf66365737b95e8cc3e1\"]", "after": "mB2K7BrbErChTeRYUyxEfC2PIgjSAq0UrtwKKAAoAmw", "table": "key_version", "revision": 106}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 10, '2026-11-28 13:53:32.032+00', '9514f9cf-e7f7-4dcd-ae33-aca6bb384e53', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/oct-128', 'oct-128', '26ad88f1c814ca4b656de3a50ab761fe', NULL, 'success', 200, NULL, NULL, 52, NULL, '\xd0cdd14021cfb68e54eeb7edbd3dce5138dfa38e8c7418084018c5874f4ebc0d', '[{"row": "[\"oct-128\"]", "after": "0EOvciaFN8cEYK1BwdqXOYIWWG4R4X1JWrGpeYzViYI", "table": "key", "revision": 107}, {"row": "[\"oct-128\", \"26ad88f1c814ca4b656de3a50ab761fe\"]", "after": "dN-j2D0jCh2bb7Yn5BvE66TICF5w_g1DVvBlGDekaEA", "table": "key_version", "revision": 108}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 11, '2026-11-28 13:53:32.175+00', '3e2ddd34-dd4e-443a-b4a1-9083eff33157', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/oct-192', 'oct-192', '06267bc6b171de9d5e6e438d4d295cdb', NULL, 'success', 200, NULL, NULL, 35, NULL, '\x85305fa759b26d2b86e30d310f1fd25701ecec4577fe3ffc40bc002668e4792f', '[{"row": "[\"oct-192\"]", "after": "F1C-cqYM29lsp-fbiJdgntJkaC6kOheF-bVuMw_GuIo", "table": "key", "revision": 109}, {"row": "[\"oct-192\", \"06267bc6b171de9d5e6e438d4d295cdb\"]", "after": "VnUOFsRvjYVKD7y2yKhm5kIzSXJluFw24VX2s87AM7A", "table": "key_version", "revision": 110}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 12, '2026-11-28 13:53:32.304+00', '4a9c1191-3f2d-4262-94fe-8f8beb009af9', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/oct-256', 'oct-256', 'f1ed96e418aa85096ec373fd842deeda', NULL, 'success', 200, NULL, NULL, 25, NULL, '\xd909031e9838e03828b4bc02056c66d920e69f5caef81921a7e5c0c8b1a8f706', '[{"row": "[\"oct-256\"]", "after": "tAXTJI50Bp8jzTEcTGtYaAb3ipBvK4LiBit3f9EXzi4", "table": "key", "revision": 111}, {"row": "[\"oct-256\", \"f1ed96e418aa85096ec373fd842deeda\"]", "after": "VOusQ_pg2jA3Njf0Ywidv0Au1kAYAG1WY8MGMx8sjFc", "table": "key_version", "revision": 112}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 13, '2026-11-28 13:53:32.571+00', '19d46f19-c537-43f0-a12c-ab939e4fde0e', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyRotate', 'Microsoft.KeyVault/managedHsm/keys/rotate/action', '/keys/oct-256', 'oct-256', 'e9f9199438d09eff79ddbd849304a292', NULL, 'success', 200, NULL, NULL, 175, NULL, '\x99c1cbc0c9da3e66c10b8aae2f5819543b0a38607ae9a893520c4effcdef3c93', '[{"row": "[\"oct-256\", \"e9f9199438d09eff79ddbd849304a292\"]", "after": "uI9uKPcdqyeC-0lqTAij6LnsbxXDksEPgwnr6MpvyAg", "table": "key_version", "revision": 113}, {"row": "[\"oct-256\"]", "after": "AS7Gvx-ZzDOfIGPEd8M9bHZGu91MNFICQM9eN5lG-Y8", "table": "key", "before": "tAXTJI50Bp8jzTEcTGtYaAb3ipBvK4LiBit3f9EXzi4", "revision": 114}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 14, '2026-11-28 13:53:32.751+00', '4f0afb14-2011-462b-9d32-008cef5b16bd', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyRotationPolicySet', 'Microsoft.KeyVault/managedHsm/keys/write/action', '/keys/rsa-2048', 'rsa-2048', NULL, NULL, 'success', 200, NULL, NULL, 74, '{"after": {"actions": [{"time": "P10Y", "type": "Rotate", "trigger": "timeAfterCreate"}], "created": 1795874012, "updated": 1795874012, "expiryTime": "P20Y"}}', '\x3e976808dbfb70b2843272437c0ebfd6f92bf746e599de2af80e1aebff2e528d', '[{"row": "[\"rsa-2048\"]", "after": "Gvi2us6Q779NZwFk14wusx8bHcJPUd0xMxmo32qlEQw", "table": "rotation_policy", "revision": 116}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 15, '2026-11-28 13:53:32.84+00', '7270468f-523c-453b-b944-24470082864b', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyImport', 'Microsoft.KeyVault/managedHsm/keys/import/action', '/keys/imported', 'imported', '17b5bd594b245259833bbc0552bdcef0', NULL, 'success', 200, NULL, NULL, 54, NULL, '\x3e79b805b64e05f40534fa44fc576a6be8a81036e14e65291c70e2423c52cccb', '[{"row": "[\"imported\"]", "after": "Mn8Q2D7jZrfZPe9_fuaEUzNEE4_d8EXFwoC1APYy9fI", "table": "key", "revision": 117}, {"row": "[\"imported\", \"17b5bd594b245259833bbc0552bdcef0\"]", "after": "9LlzSsSAhATb8VvFPQxquML3ogQcBATbGr9BANG_HUM", "table": "key_version", "revision": 118}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 16, '2026-11-28 13:53:33.498+00', 'cce0b934-5b28-4e46-a4c1-ae731e4c9762', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/exportable', 'exportable', '74aedddef53e84959cc30f165e6355e8', NULL, 'success', 200, NULL, NULL, 581, NULL, '\x51bf719a29813a848e45c739e0c676959d19f2424f8533a7417bc2b3b95e7746', '[{"row": "[\"exportable\"]", "after": "lItKLnuZUkG57GLOj0NXtv2HbpvOu4mRU0XJIze8kbI", "table": "key", "revision": 119}, {"row": "[\"exportable\", \"74aedddef53e84959cc30f165e6355e8\"]", "after": "Fi2D9yRbB1BnUk6ONa8foPAgPgEtY9MDWNqesEwx-nI", "table": "key_version", "revision": 120}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 17, '2026-11-28 13:53:33.596+00', 'c4754419-4812-4842-8bbb-0e0d64cec4f0', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/disabled', 'disabled', '89f04e2dafa5570da2eb5837266de455', NULL, 'success', 200, NULL, NULL, 40, NULL, '\x3b899d4b3d2fb7ea482a076ac8f7762e9e14a68f1664df55d87ff64a9c252c57', '[{"row": "[\"disabled\"]", "after": "w9cxGFUOBMLc3PQgAUUiMOs62hOOzWUWrQGteYpIEV8", "table": "key", "revision": 121}, {"row": "[\"disabled\", \"89f04e2dafa5570da2eb5837266de455\"]", "after": "NR9cC7RGpraTXSTvi831I15hzUK3XrQmdUBKFnoOlSY", "table": "key_version", "revision": 122}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 18, '2026-11-28 13:53:33.687+00', '52447199-5126-4045-b480-b09514794108', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyUpdate', 'Microsoft.KeyVault/managedHsm/keys/write/action', '/keys/disabled', 'disabled', '89f04e2dafa5570da2eb5837266de455', NULL, 'success', 200, NULL, NULL, 60, '{"after": {"enabled": false, "operations": ["sign", "verify"]}, "before": {"enabled": true, "operations": ["sign", "verify"]}}', '\x026ed261a95c92b7c35f07ccbe9988981f4ff7643591237c93b6b95e3fc6cfd6', '[{"row": "[\"disabled\", \"89f04e2dafa5570da2eb5837266de455\"]", "after": "bVMSzovV1Xn6dcI3zBYIK9zwgePPgBjIOtMzHMZp-vY", "table": "key_version", "before": "NR9cC7RGpraTXSTvi831I15hzUK3XrQmdUBKFnoOlSY", "revision": 123}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 19, '2026-11-28 13:53:33.757+00', '323b8add-7f81-4191-8745-94af5d5c082e', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/backed-up', 'backed-up', '1d257d1c4f74ac8cc2b6c255332a0871', NULL, 'success', 200, NULL, NULL, 29, NULL, '\x9484e0d139079415cfc2257b7ba239562e5f017e6286b13e6998416b1654b12a', '[{"row": "[\"backed-up\"]", "after": "08FJEMjPgkB8LkjTv6APjMIscGTizOFyerOldVpeXnM", "table": "key", "revision": 124}, {"row": "[\"backed-up\", \"1d257d1c4f74ac8cc2b6c255332a0871\"]", "after": "sqhC_Cd42U-QKe4D-tM1HoIp2UFH9Gjn4SaXQJ3WTPY", "table": "key_version", "revision": 125}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 20, '2026-11-28 13:53:34.028+00', '09318fba-717e-49f8-bfac-865f2221bec3', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyCreate', 'Microsoft.KeyVault/managedHsm/keys/create', '/keys/deleted', 'deleted', '9f1e9493464e0e092367e83a4ae66339', NULL, 'success', 200, NULL, NULL, 16, NULL, '\xa4f7e02b6ec42c5b2921c0ed66e9a36167b82a5e688b45bcd30f012bbeb3870d', '[{"row": "[\"deleted\"]", "after": "ml5TIOjBgBkHNQ0l-H6ud9I-wR8anV1-jrc5iODyJjM", "table": "key", "revision": 126}, {"row": "[\"deleted\", \"9f1e9493464e0e092367e83a4ae66339\"]", "after": "7FeiHP22zoyUbxtjfKKVeLYYf4oxL2q9DE-bOkD-UzE", "table": "key_version", "revision": 127}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 21, '2026-11-28 13:53:34.167+00', 'cb267ae9-1551-4027-a178-c4d1375af458', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyDelete', 'Microsoft.KeyVault/managedHsm/keys/delete', '/keys/deleted', 'deleted', NULL, NULL, 'success', 200, NULL, NULL, 64, NULL, '\xdcf1e7ecbc75a40104d5d020b9fd4412158f78c6294801450f0296892372d135', '[{"row": "[\"deleted\"]", "after": "wbRw2rOMEBeG_tU2IaW4XUjW_ifb6Gi9ky3aiHtFfgQ", "table": "key", "before": "ml5TIOjBgBkHNQ0l-H6ud9I-wR8anV1-jrc5iODyJjM", "revision": 128}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 22, '2026-11-28 13:53:34.234+00', 'e22351c1-7bc5-4410-978c-9ecb94b6ed8b', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'ApplicationCreate', 'Strongroom/directory/write/action', '/', NULL, NULL, NULL, 'success', 201, NULL, NULL, 46, '{"after": {"id": "810687bf-c528-4129-ab97-85b4c9c66907", "appId": "74fbdfde-aa3b-42cc-a899-4e18bb8c31e3", "createdAt": "2026-11-28T13:53:34.220Z", "displayName": "reader"}}', '\xf7192d5c5eada5f21277f11a51d3f2307387c7c353d8b3d8f489322c5fac6d12', '[{"row": "[\"810687bf-c528-4129-ab97-85b4c9c66907\"]", "after": "2tFC26aIca5AalHvgXlwyA4AqlZY5yQNIWhYsh0FigE", "table": "application", "revision": 129}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 23, '2026-11-28 13:53:34.306+00', '32c2a01f-183a-4cc7-a5e3-5811efe932c0', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'ServicePrincipalCreate', 'Strongroom/directory/write/action', '/', NULL, NULL, NULL, 'success', 201, NULL, NULL, 42, '{"after": {"id": "b9b0b881-726b-4253-80b7-f42761c7dd92", "appId": "74fbdfde-aa3b-42cc-a899-4e18bb8c31e3", "enabled": true, "displayName": "reader"}}', '\x676306358eccf99449693bd06ed320e530081dc6098853e672ad699e4ef513b8', '[{"row": "[\"b9b0b881-726b-4253-80b7-f42761c7dd92\"]", "after": "s0yR3s9Lm_W71Xr3Ju-JbQb3-3tRekusny68NMGyJLc", "table": "service_principal", "revision": 130}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 24, '2026-11-28 13:53:34.715+00', '48377d5d-c2cb-4b16-8506-8bc351fbed65', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'ApplicationPasswordAdd', 'Strongroom/directory/write/action', '/', NULL, NULL, NULL, 'success', 200, NULL, NULL, 398, '{"after": {"keyId": "32ecc59c-b5bf-4144-b5df-7664c7d6a690", "endsAt": "2099-01-01T00:00:00.000Z", "startsAt": "2026-11-28T13:53:34.343Z", "applicationId": "810687bf-c528-4129-ab97-85b4c9c66907"}}', '\x57cb8cabf07cb5babb0f4a75feabcb8c6763d95726a8caf81f4c3693a9fba6fb', '[{"row": "[\"810687bf-c528-4129-ab97-85b4c9c66907\", \"32ecc59c-b5bf-4144-b5df-7664c7d6a690\"]", "after": "CUfDAEjhGd_aIkBUUBYAWL7utuXsekXzc-VdeyMJ73Y", "table": "application_password", "revision": 131}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 25, '2026-11-28 13:53:34.781+00', 'd70a841b-6951-4dbb-9179-e9f8ab0bb539', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'GroupCreate', 'Strongroom/directory/write/action', '/', NULL, NULL, NULL, 'success', 201, NULL, NULL, 21, '{"after": {"id": "130d7e13-4595-4bfe-b2c3-83eac617430b", "displayName": "readers", "mailNickname": "readers"}}', '\x99b887fe9aec9da623616bd96fc5183856f924b4a04d43ce5a5ec96fad3fafaa', '[{"row": "[\"130d7e13-4595-4bfe-b2c3-83eac617430b\"]", "after": "G9bjlq1ZYltppZx21kRhInDdk-YhwJHTmzjmRG_Xfaw", "table": "directory_group", "revision": 132}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 21, '2026-11-28 13:53:34.007+00', 'a3840e42-e7ec-4ec2-becf-6bbf74713256', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyBackup', 'Microsoft.KeyVault/managedHsm/keys/backup/action', '/keys/backed-up', 'backed-up', NULL, NULL, 'success', 200, NULL, NULL, 211, NULL, '\x8e26df9af3987ff4ce69295def66eec1ffb14797569722e9f53c055b9e44e187', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 22, '2026-11-28 13:53:34.081+00', '18f1d655-1ca3-4fa5-aa05-d682ac1c83e7', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'KeyWrap', 'Microsoft.KeyVault/managedHsm/keys/wrap/action', '/keys/deleted', 'deleted', '9f1e9493464e0e092367e83a4ae66339', 'A256KW', 'success', 200, NULL, NULL, 10, NULL, '\x9ea5a2e3b00e5853df1b55f219549e6bfb815416ee7dd2c855770f27f2dce4e8', NULL);
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 26, '2026-11-28 13:53:34.865+00', '27b3366a-f789-41bb-834e-e0ea03011006', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'GroupMemberAdd', 'Strongroom/directory/write/action', '/', NULL, NULL, NULL, 'success', 204, NULL, NULL, 58, '{"after": {"groupId": "130d7e13-4595-4bfe-b2c3-83eac617430b", "memberId": "b9b0b881-726b-4253-80b7-f42761c7dd92"}}', '\xa7375c46115ee0f91938e91421957ae7e44b8cd5792b04a64c98d1d1621428b8', '[{"row": "[\"130d7e13-4595-4bfe-b2c3-83eac617430b\", \"b9b0b881-726b-4253-80b7-f42761c7dd92\"]", "after": "Qn9C6DHohoUGJcgUnWA7SbDeiGvzBe8m9suVnjsH6TY", "table": "group_member", "revision": 133}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 27, '2026-11-28 13:53:34.975+00', '8d882942-80fd-4900-a3be-706130e3d98c', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'RoleDefinitionWrite', 'Microsoft.KeyVault/managedHsm/roleDefinitions/write/action', '/', NULL, NULL, NULL, 'success', 201, NULL, NULL, 79, '{"after": {"id": "1462c6f2-5e51-4dcd-969a-c2241d6dcdf3", "kind": "custom", "roleName": "signs alone", "description": "for the upgrade", "permissions": [{"dataActions": ["Microsoft.KeyVault/managedHsm/keys/sign/action"], "notDataActions": []}], "assignableScopes": ["/"]}}', '\x97e98a527e382fc09e3b289e63a709659473312afc35032b31d828083b332d84', '[{"row": "[\"1462c6f2-5e51-4dcd-969a-c2241d6dcdf3\"]", "after": "ivBBxQ_rL1H9B_yZU99kHI-8R-ZmMqPxl5-F7mS6ObM", "table": "role_definition", "revision": 134}, {"row": "[\"1462c6f2-5e51-4dcd-969a-c2241d6dcdf3\", \"Microsoft.KeyVault/managedHsm/keys/sign/action\"]", "after": "Rqay7NvaIAZFDusiMEiHCe9qiTkE-fvBEmzCHpjyQck", "table": "role_permission", "revision": 135}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 28, '2026-11-28 13:53:35.08+00', '4f2d298d-f461-4a7f-aefa-fe57106778ec', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'RoleAssignmentCreate', 'Microsoft.KeyVault/managedHsm/roleAssignments/write/action', '/keys/ec-256', NULL, NULL, NULL, 'success', 201, NULL, NULL, 79, '{"after": {"id": "2db87e30-eccc-4bd5-afaf-d2486e4ecf96", "scope": "/keys/ec-256", "roleName": "signs alone", "principalId": "130d7e13-4595-4bfe-b2c3-83eac617430b", "roleDefinitionId": "1462c6f2-5e51-4dcd-969a-c2241d6dcdf3"}}', '\xa70c22b6b475abbd4dae04edf4d0fe898210dd2b600552090112dfdb723717af', '[{"row": "[\"2db87e30-eccc-4bd5-afaf-d2486e4ecf96\"]", "after": "cab8hirP7uI8vD2l49tHp-7_ZUdvr7RcL9bdPnnHWCs", "table": "role_assignment", "revision": 136}]');
INSERT INTO public.audit_event_2026_11 VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 29, '2026-11-28 13:53:35.23+00', '0f06bc30-d5f9-4bd2-968e-c8629cf788d8', NULL, 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', '127.0.0.1', NULL, 'RoleAssignmentCreate', 'Microsoft.KeyVault/managedHsm/roleAssignments/write/action', '/keys/ec-384', NULL, NULL, NULL, 'success', 201, NULL, NULL, 92, '{"after": {"id": "799818de-98a9-4972-8762-ae006514587a", "scope": "/keys/ec-384", "roleName": "Managed HSM Crypto Auditor", "principalId": "b9b0b881-726b-4253-80b7-f42761c7dd92", "roleDefinitionId": "2c18b078-7c48-4d3a-af88-5a3a1b3f82b3"}}', '\x04d8240389201df9583bc1f9690830c3d57cd634ba3300a6f31b7c30e38e5f49', '[{"row": "[\"799818de-98a9-4972-8762-ae006514587a\"]", "after": "Saz2X3Ys8teH_Vu11pQ-H_Cva6QevOVtu7YN4yXAm5k", "table": "role_assignment", "revision": 137}]');
INSERT INTO public.audit_key_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'oct-192', '2026-11-28 13:53:32.266+00');
INSERT INTO public.audit_key_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'oct-128', '2026-11-28 13:53:32.118+00');
INSERT INTO public.audit_key_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'oct-256', '2026-11-28 13:53:32.381+00');
INSERT INTO public.audit_key_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-384', '2026-11-28 13:53:31.749+00');
INSERT INTO public.audit_key_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'rsa-2048', '2026-11-28 13:53:25.411+00');
INSERT INTO public.audit_key_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'rsa-4096', '2026-11-28 13:53:31.56+00');
INSERT INTO public.audit_key_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-521', '2026-11-28 13:53:31.857+00');
INSERT INTO public.audit_key_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-256', '2026-11-28 13:53:31.635+00');
INSERT INTO public.audit_key_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'rsa-3072', '2026-11-28 13:53:26.97+00');
INSERT INTO public.audit_key_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-256k', '2026-11-28 13:53:31.959+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', '', '', 'SigningKeyCreate', 1, 0, '2026-11-28 13:53:15.974+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'rsa-3072', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:26.885+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', '', '96e7b736-1332-4d15-8840-d8a1f4811622', 'RoleAssignmentCreate', 2, 0, '2026-11-28 13:53:23.65+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'oct-256', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:32.336+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'rsa-3072', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:26.97+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'ec-256k', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:31.959+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'ec-256k', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:31.915+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', '', '', 'BackupKeysCreate', 1, 0, '2026-11-28 13:53:15.323+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'ec-256k', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:31.959+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'rsa-4096', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:31.495+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'rsa-3072', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:26.97+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', '', '', 'StateWitnessed', 1, 0, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'oct-128', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyEncrypt', 1, 0, '2026-11-28 13:53:32.118+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'rsa-2048', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:25.37+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'oct-128', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:32.081+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'ec-384', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:31.749+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'rsa-3072', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:26.94+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', '', '96e7b736-1332-4d15-8840-d8a1f4811622', 'TokenIssue', 1, 0, '2026-11-28 13:53:23.306+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', '', '', 'SigningKeyCreate', 1, 0, '2026-11-28 13:53:15.974+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', '', '', 'BackupKeysCreate', 1, 0, '2026-11-28 13:53:15.323+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', '', '', 'Bootstrap', 4, 0, '2026-11-28 13:53:16.477+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', '', '96e7b736-1332-4d15-8840-d8a1f4811622', 'RoleAssignmentCreate', 2, 0, '2026-11-28 13:53:23.65+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'rsa-4096', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:31.533+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'ec-384', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:31.749+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', '', '96e7b736-1332-4d15-8840-d8a1f4811622', 'TokenIssue', 1, 0, '2026-11-28 13:53:23.306+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'oct-128', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:32.032+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', '', '', 'StatementKeyCreate', 2, 0, '2026-11-28 13:53:18.131+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'rsa-3072', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:26.885+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'oct-192', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:32.175+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'oct-192', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyEncrypt', 1, 0, '2026-11-28 13:53:32.266+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', '', '', 'StatementKeyCreate', 2, 0, '2026-11-28 13:53:18.131+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'ec-521', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:31.8+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'rsa-4096', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:31.533+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'rsa-2048', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:25.411+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'ec-384', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:31.689+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'rsa-2048', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:25.323+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'rsa-4096', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:31.56+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', '', '', 'RoleDefinitionSeed', 1, 0, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'oct-256', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:32.304+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'oct-128', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:32.032+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', '', '', 'StateWitnessed', 1, 0, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'rsa-2048', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:25.323+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'oct-192', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:32.219+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', '', '', 'RoleDefinitionSeed', 1, 0, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', '', '', 'PoolCreate', 1, 0, '2026-11-28 13:53:15.042+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'oct-192', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyEncrypt', 1, 0, '2026-11-28 13:53:32.266+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'rsa-3072', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:26.94+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'rsa-2048', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:25.411+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'ec-256', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:31.635+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'ec-521', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:31.857+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'ec-521', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:31.857+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'oct-256', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyEncrypt', 1, 0, '2026-11-28 13:53:32.381+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'ec-521', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:31.8+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'ec-384', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:31.689+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'oct-256', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:32.304+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'ec-256', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:31.602+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', '', '', 'PoolCreate', 1, 0, '2026-11-28 13:53:15.042+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'oct-192', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:32.175+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'oct-192', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:32.219+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'ec-256', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:31.635+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'rsa-2048', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:25.37+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'oct-256', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:32.336+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'ec-256', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:31.602+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'oct-256', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyEncrypt', 1, 0, '2026-11-28 13:53:32.381+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'hour', '2026-11-28 13:00:00+00', 'oct-128', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyEncrypt', 1, 0, '2026-11-28 13:53:32.118+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'rsa-4096', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeySign', 1, 0, '2026-11-28 13:53:31.56+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'rsa-4096', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:31.495+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'oct-128', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyWrap', 1, 0, '2026-11-28 13:53:32.081+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', '', '', 'Bootstrap', 4, 0, '2026-11-28 13:53:16.477+00');
INSERT INTO public.audit_usage VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'day', '2026-11-28 00:00:00+00', 'ec-256k', '96e7b736-1332-4d15-8840-d8a1f4811622', 'KeyCreate', 1, 0, '2026-11-28 13:53:31.915+00');
INSERT INTO public.audit_usage_position VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 12, false);
INSERT INTO public.audit_usage_position VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 11, true);
INSERT INTO public.audit_usage_position VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'c5b6a5a5-02ab-4c2e-a68d-68a9e604a898', 17, false);
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'pool', '[]', 1, NULL, '2qVAfoe8990tw_ZC5TdC3wnMzJcGUIoHrHuRVLsYjKQ', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 1, '2026-11-28 13:53:15.042+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'root_generation', '[1]', 2, NULL, 'zBOIvKCQYa-Y810uoz-LvtSuINNIy14uO0RBZNeQl5s', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 1, '2026-11-28 13:53:15.042+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_definition', '["a290e904-7015-4bba-90c8-60543313cdb4"]', 3, NULL, 'oWPCBXf1SnaH_sk0QhzZk1BexkLysS-JMPMyVwr8Ipk', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_definition', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778"]', 4, NULL, 'lADLTnME1SJXMvZF3nWyMmhOn5A4zrrGhuK7dsDVY2I', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_definition', '["21dbd100-6940-42c2-9190-5d6cb909625b"]', 5, NULL, '_oyeyB6bnN2fVvAUu_j8dJshMSyFAWND4uFhul_I8G4', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_definition', '["4bd23610-cdcf-4971-bdee-bdc562cc28e4"]', 6, NULL, 'jmRLIQtTJJEo-u_S9i1dhh9tEVEyXozPYBnB20KyN44', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_definition', '["2c18b078-7c48-4d3a-af88-5a3a1b3f82b3"]', 7, NULL, '02GRpLkPBisUJlFOlrknRDv5P33oq7aG4m4_3S6Hlis', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_definition', '["33413926-3206-4cdd-b39a-83574fe37a17"]', 8, NULL, 't_ujZts4lNFC0pFqnJZK6AFks2Z2PPL8Xl3a5jZvf0E', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_definition', '["21dbd100-6940-42c2-9190-5d6cb909625c"]', 9, NULL, 'uoNHkmSfIDQWT_v7bU9A01NcyjvU7K8zEBX55qZQ0IQ', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_definition', '["7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8"]', 10, NULL, 'K5len_qqagYfaUI0jn8NxI4U8SHJbAxb3EdG_Gw1RKo', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_definition', '["6efe6056-5259-49d2-8b3d-d3d73544b20b"]', 11, NULL, '0cmTyj6wcRZT2dzK_WdaCGkw_D2WhFF036yLzk_s668', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/roleAssignments/delete/action"]', 12, NULL, '8dhyYOGLQ_VMAhT1oBCDXMya5LqNHbl0GavCsLDhLHk', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/roleAssignments/read/action"]', 13, NULL, 'aTniMw46fewb2XJMNnOskbuKpyeKIRiT2eVcjFdPgUQ', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/roleAssignments/write/action"]', 14, NULL, '4quf5o6EQPiF391uS5gdE0JaM9fN5BXCFng9bBqEBDQ', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/roleDefinitions/read/action"]', 15, NULL, 'r9JcaQrrffyRD26LOtdsAB7PuU2e8FzUM1OvDZaDUeA', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/roleDefinitions/write/action"]', 16, NULL, '7r-ojQklE2a6_yXK4dluJ7izkia4-c1trldEImtRLvI', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action"]', 17, NULL, '0l6feAjBpZncjBP2ox2HV1cZbRNpTqj-Pp-sqKr6UOg', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/securitydomain/download/action"]', 18, NULL, 'heHq87KWMuOSu9FnrPl1MqsOedsCrLW5CcR6F1NR5D8', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/securitydomain/download/read"]', 19, NULL, '1LWZ1sHEVy8K9Y5t3F1h_QV2Xt-I7s0n3TYn0Qwj9bg', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/securitydomain/upload/action"]', 20, NULL, 'Wl4BnrG--HkTPxrH9v5WrH4R8ZTUFkbnJtOVizGq--Y', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/securitydomain/upload/read"]', 21, NULL, 'ERJBbgL__vnUFyOJl6Jlov8sdiSXy7zBZsH3Gr8TFpc', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/securitydomain/transferkey/read"]', 22, NULL, 'UbPs5THth5esn769_qDci3i1workMkn0_4_dhHzRv2g', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/backup/start/action"]', 23, NULL, 'PyepFeYMGkxhmhE5PRjD5DBK7kSKKLkHj5yNae85k38', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/restore/start/action"]', 24, NULL, 'mk_wHd-th6kZ8FRym8t5I9ISKNDtdMzo_NCJCnsaqC0', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/backup/status/action"]', 25, NULL, 'K9waCP3PRSer9HCVzUtWBQu0LmL2RbMXlXSq2cUkKp4', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/restore/status/action"]', 26, NULL, 'REPBn2rNfyNxji8Zu16fEBQgSl7i3HhF_xR21Y5uCmo', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/settings/read/action"]', 27, NULL, 'W5jETal5XiUP2oWcy2T1FvTMIUkRfi2XfyFYM-X4q50', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Microsoft.KeyVault/managedHsm/settings/write/action"]', 28, NULL, '6gpaK09GrmOhgdJdEij7TlXzw4s1wNR7nTsViDeo3uI', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Strongroom/audit/read/action"]', 29, NULL, 'miRDycRNKbVeoVgmd8QdKE7WWD-KqypY1vzuQlc77uI', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Strongroom/directory/read/action"]', 30, NULL, 'J8o6JOFrinj_h5mpJY8uNuh3Unbv3BmcaUvC-UHw6pY', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Strongroom/directory/write/action"]', 31, NULL, 'nKifpdOjGIM53JxRy-y-OgAiQaUyPbeAwFOmHHP4X-M', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["a290e904-7015-4bba-90c8-60543313cdb4", "Strongroom/access/explain/action"]', 32, NULL, 'L2jLyT66yIlQH2hby92uU2IV80MVZlXhV-E2x4lOYvA', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Microsoft.KeyVault/managedHsm/roleAssignments/delete/action"]', 33, NULL, 'IEExy493_vNrRvRwkLGUvxAdkvkqOvkv1SwlI-no4yo', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Microsoft.KeyVault/managedHsm/roleAssignments/read/action"]', 34, NULL, 'PbLML91UJvoJrEEW1JhgVJoBTMV5uoth0kphmr9XhAU', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Microsoft.KeyVault/managedHsm/roleAssignments/write/action"]', 35, NULL, 'xw11NuvFnSJGEhUlU1QcJG0pYTpavnIaW77gI9-1Z9Q', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Microsoft.KeyVault/managedHsm/roleDefinitions/read/action"]', 36, NULL, 'qaY3besrilGipfwxI832IaZhLW6o1yy6T5dxp8O0FPc', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Microsoft.KeyVault/managedHsm/roleDefinitions/write/action"]', 37, NULL, 'eqA4PftvHYDJwyjf_Xj_P5D55DhytodLQaQfSpeQpHo', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action"]', 38, NULL, 'P96xuCzHFlSAKhTnSJ-TQPGBZglUVBmMJuMvIbw79L8', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Microsoft.KeyVault/managedHsm/keys/delete"]', 39, NULL, 'SsAiIqfwkVJmFtwifby2rqucYJs07bijzLeR5iqVqdc', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Microsoft.KeyVault/managedHsm/keys/deletedKeys/read/action"]', 40, NULL, 'r3HjzIHyZJH9NQ4bSL7LTFtGS3zSd9Wk0YZ35c03MtM', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Microsoft.KeyVault/managedHsm/keys/deletedKeys/delete"]', 41, NULL, 'tJo-Ic25Zsm32oRmF-tbuMrDwAh5Ie01xjRrCV6qUGU', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Microsoft.KeyVault/managedHsm/keys/deletedKeys/recover/action"]', 42, NULL, 'mdmx0C6sIGNoC-WCy7cuhoyGIzY9RhaT_QsGYfKIyW0', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["515eb02d-2335-4d2d-92f2-b1cbdf9c3778", "Microsoft.KeyVault/managedHsm/keys/export/action"]', 43, NULL, 'IQ-RTVy25wU55QcVcCm8v31BdaMktMOnzu6jjWptZRk', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/roleDefinitions/read/action"]', 44, NULL, '_bRRkPUJ3HzC8i9XSJSJBXh1ivW-jrD7sl2wSufpyLc', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/roleAssignments/read/action"]', 45, NULL, 'joD1Z2kY6PjHcOobjO8n_nkJg7BRykcEvvqp_-ABmDM', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/read/action"]', 46, NULL, 'OZQln9tj7xxpDGwaizm2b-1liiU52ZnH0oWIsLkcaXk', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/write/action"]', 47, NULL, 'wnPHAqtRMa5en7J2dC8NPWXA9zyzZC-fOD0aDBhMBUI', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/create"]', 48, NULL, 'XlgH3m8wT3tre3LGpClXZqdfUmoD0_3u0GzTEU8WST0', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/rotate/action"]', 49, NULL, 'yHgNT_dc_BXN7mVmVIX1vR99i8CreDNSVSU-fc-UEF8', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/import/action"]', 50, NULL, 'XoGNzj04jF72G7laypdXQZCHApNes12l3BVoTOziw5Q', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/release/action"]', 51, NULL, 'CD_Z9zR2K_Ut-p_ssqh1xE0RGoLQmwWtdSAsL8Ei864', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/backup/action"]', 52, NULL, 'zDOXvjXNvIRx1x9NyzEXHYX5QRvrLozbvWG7viFugkc', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 2, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/restore/action"]', 53, NULL, 'sV-l1fzPcQ5JlY_3rRRKWrF3JvG5FlN3fhjhWe2AqH4', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/encrypt/action"]', 54, NULL, 's-bMKQfVquY_E_8yb7Ca3kGyNnW_80zr0r_RbZCTtgk', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/decrypt/action"]', 55, NULL, 'Rvl4GjKVibXzlNFsiLl2G9XxRyO2qZQJ3oVze56P8Fk', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/wrap/action"]', 56, NULL, 'x3G_foyTa2Qa99cxRzfP2p3YdqrQ6aizFylk1YY2KEE', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/unwrap/action"]', 57, NULL, 'yuHdX0L53dbk56_0WvhwLVpljh84RcJ8GdQ6VDEiyhg', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/sign/action"]', 58, NULL, 'UXG1u2_KnRS_Qa5cfJfwnxioOt4aw9ygi00LyU2SgBo', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/verify/action"]', 59, NULL, 'XTiBijtm-jBxCuqc8utJXaTFUuhYqBwqJrZadr-OB6s', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/keys/derive/action"]', 60, NULL, 'qYp0b_VyjCi-norik2UXCOK4AcGaJb9NWCiIPhCDtkQ', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625b", "Microsoft.KeyVault/managedHsm/rng/action"]', 61, NULL, 'EfMvOeuJccenOre3idsB2A_bAORqw0udltnavNz96C8', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["4bd23610-cdcf-4971-bdee-bdc562cc28e4", "Microsoft.KeyVault/managedHsm/roleDefinitions/read/action"]', 62, NULL, '-FymI0_G7XjoXRjs_IGvhnGpiw28cmzkZFkrWTxggtI', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["4bd23610-cdcf-4971-bdee-bdc562cc28e4", "Microsoft.KeyVault/managedHsm/roleDefinitions/write/action"]', 63, NULL, '6CvdRSGvVc3aTRfCdvEzv8WYx6-UMiknPknuecNNme4', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["4bd23610-cdcf-4971-bdee-bdc562cc28e4", "Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action"]', 64, NULL, 'zmaXaZm7T5rGcJL9Zf5hSirV5W_LkNbJW0I4eFHzy9Q', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["4bd23610-cdcf-4971-bdee-bdc562cc28e4", "Microsoft.KeyVault/managedHsm/roleAssignments/read/action"]', 65, NULL, 'nbLZlW1-5L9YnXPvk6rVFeiWrb3Ho6CuwrSfEbjp-9Y', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["4bd23610-cdcf-4971-bdee-bdc562cc28e4", "Microsoft.KeyVault/managedHsm/roleAssignments/write/action"]', 66, NULL, 'WA-tP1GR-SyzajDyAy4F-gvv72yDzvWCnxg2Jo-dWUg', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["4bd23610-cdcf-4971-bdee-bdc562cc28e4", "Microsoft.KeyVault/managedHsm/roleAssignments/delete/action"]', 67, NULL, 'YYcFvu9jQfksRodK9eEeXOHTkUZn24sm1QuBq4uRD94', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["2c18b078-7c48-4d3a-af88-5a3a1b3f82b3", "Microsoft.KeyVault/managedHsm/roleAssignments/read/action"]', 68, NULL, 'ZpRqw-gphxTkddWBQWBCSaYasvr2dmLG_NywrLPVWZ8', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["2c18b078-7c48-4d3a-af88-5a3a1b3f82b3", "Microsoft.KeyVault/managedHsm/roleDefinitions/read/action"]', 69, NULL, 'jxA5041q6-_whvMVjXOzzaqpHibFhA87wAH2yeq1NoU', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["2c18b078-7c48-4d3a-af88-5a3a1b3f82b3", "Microsoft.KeyVault/managedHsm/keys/read/action"]', 70, NULL, 'NBompeMS9sia_mRfRKzoEqRf23TCQUZ7fC289JRI_zM', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["2c18b078-7c48-4d3a-af88-5a3a1b3f82b3", "Microsoft.KeyVault/managedHsm/keys/deletedKeys/read/action"]', 71, NULL, 'zaWnEQuJD2-vahzlQFx9QputSaWifKRhw7OICA128uU', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["2c18b078-7c48-4d3a-af88-5a3a1b3f82b3", "Strongroom/audit/read/action"]', 72, NULL, '8W_r7e2a7dedT_pfP-j1MEI-LKmJHrNn5V5K_-tYyOs', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["33413926-3206-4cdd-b39a-83574fe37a17", "Microsoft.KeyVault/managedHsm/keys/read/action"]', 73, NULL, 'eLIPYWBc7PeeE8CCbcrF_qmATXB_TI7BPwM5ht57aRo', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["33413926-3206-4cdd-b39a-83574fe37a17", "Microsoft.KeyVault/managedHsm/keys/wrap/action"]', 74, NULL, 't0rclBW1NAOgiN-CWvJV1AgcxUNBpdO2v9MYs9gRETA', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["33413926-3206-4cdd-b39a-83574fe37a17", "Microsoft.KeyVault/managedHsm/keys/unwrap/action"]', 75, NULL, 'kxR1NjilP6FtoD0b_-8RZCFo7_ihCjMaobMFxTjYbEU', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["21dbd100-6940-42c2-9190-5d6cb909625c", "Microsoft.KeyVault/managedHsm/keys/release/action"]', 76, NULL, 'g1pH8smvSDIJnsglEJ3Tp90mwk7sHU6b7vaMqx72oJ8', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8", "Microsoft.KeyVault/managedHsm/backup/start/action"]', 77, NULL, 'nsnScxXWlOV5zKfQEFNv4wWH_B_KDiT3IlLgHNuLbII', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8", "Microsoft.KeyVault/managedHsm/backup/status/action"]', 78, NULL, '7E9SMKxp_em6GM1HYFcZvvuuHH1P6vpr5G9fxiUSJpU', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8", "Microsoft.KeyVault/managedHsm/keys/backup/action"]', 79, NULL, 'MIw-gLVDB5WJYOwFZfCF3cBFycjJFvUgBUAFBMQc5H0', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["6efe6056-5259-49d2-8b3d-d3d73544b20b", "Microsoft.KeyVault/managedHsm/keys/restore/action"]', 80, NULL, 'e3A0VsjD3z6XUfQzzc3bBw3pN61iTyrnVp2AuFZP-HI', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["6efe6056-5259-49d2-8b3d-d3d73544b20b", "Microsoft.KeyVault/managedHsm/restore/start/action"]', 81, NULL, '62nCB5uk36WFPLBicj-hr9CvmVBghcZGjbzS3REDHBE', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["6efe6056-5259-49d2-8b3d-d3d73544b20b", "Microsoft.KeyVault/managedHsm/restore/status/action"]', 82, NULL, '1i-MZKy5J8LO8ulE-AEP2J4PVYsqqnl49_SPOlsS_XY', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 3, '2026-11-28 13:53:15.259+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'backup_keys', '["d80ff5f794b33b696534848bd1ab100f"]', 83, NULL, '8aMQsdZ5qiEhwd30fdzYJ3mxvnKf3e_6inOGnVlO-cA', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 4, '2026-11-28 13:53:15.323+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'signing_key', '["871788f7f14b6bb199d42e84cc45e53c"]', 84, NULL, 'LC2s5f0yjhx5CeOsUh5OqD4_qF8cRl2kiEl_ImYcd4Q', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 5, '2026-11-28 13:53:15.974+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'application', '["71f811f8-c1e5-4d05-b4fb-74466fe5cab8"]', 85, NULL, 'dqqn6QoWkoIl8_zohKCZMHVu_oEgt1g_KYzZ7BdjOig', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 6, '2026-11-28 13:53:15.984+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'application_password', '["71f811f8-c1e5-4d05-b4fb-74466fe5cab8", "636e170b-55b7-4a3e-b38b-f9da3027036e"]', 86, NULL, '0r6cNIK95mFGDGR0ffecEI8IzesaynYaBJSj4yI7bZ0', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 7, '2026-11-28 13:53:16.431+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'service_principal', '["96e7b736-1332-4d15-8840-d8a1f4811622"]', 87, NULL, 'lA-QwKjfVgrlwVq2k5dgT6ULMD80vTpDpwW4L0Ioi9I', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 8, '2026-11-28 13:53:16.454+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_assignment', '["bb3ce225-31af-4ab2-ad1e-0018c7e70815"]', 88, NULL, 'mJZ9p1tl78veeFmBjoNbFSQyEEKk3_Vw7b3P9f6WDHc', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 9, '2026-11-28 13:53:16.477+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'statement_key', '["57db45f53c02c44738cde4bb072710d5"]', 89, NULL, 'FRccK4hoS5gIP7uoyICenkQ-qq61MQwqrZxS8xOO064', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 10, '2026-11-28 13:53:17.574+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'statement_key', '["09e6308e2ec0140281bb5201804fdc2e"]', 90, NULL, 'Tmb9FfehShFAoUhyYdad7pftt1GLjmlg5cc0GO4q38o', NULL, 'b61a9702-2cf7-43e1-9b54-8e41167f20f2', 11, '2026-11-28 13:53:18.131+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_assignment', '["fb89c826-3722-4fa5-a2ed-3b50effdbdf4"]', 91, NULL, 'DBYHcSW6A5tWNXnK6IWy3ZpSpsjny2GK-PAbU7yfy50', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 1, '2026-11-28 13:53:23.546+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_assignment', '["fb16b280-15ac-4f9e-ba60-7cd9f6217682"]', 92, NULL, 'pUaC3xnTbDoxpCkqZuI64lTksIYwjXEECzwIywozi5U', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 2, '2026-11-28 13:53:23.65+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["rsa-2048"]', 93, NULL, '0iu5tau4LHsBHHbivrM8ccPI_44-57UoEYjvJKedKlI', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 3, '2026-11-28 13:53:25.323+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["rsa-2048", "7b0cf22265ffbb8bacc79518db832013"]', 94, NULL, 'kuTcqO7J70q2fJS10FpgEZlXgo3nK9rWx_aaN5o9bIA', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 3, '2026-11-28 13:53:25.323+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["rsa-3072"]', 95, NULL, 'WCFofShHvOSUy14olEjnkxMnUFKRQ3aRrLbbiFAmxZs', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 4, '2026-11-28 13:53:26.885+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["rsa-3072", "fcce822fe1c0dc5d74a13d6f6759fcc9"]', 96, NULL, 'rVGEZC76oVsSuuhBgUDy52XzFtr7kuJE3bumCZtr248', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 4, '2026-11-28 13:53:26.885+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["rsa-4096"]', 97, NULL, 'Ol-nTugVLG4sxlL2eeD1uRiV9iqlzXXm7yFc73jClNw', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 5, '2026-11-28 13:53:31.495+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["rsa-4096", "85ad59715263eba17dc48134d9202e4d"]', 98, NULL, 'gAhL8UsQTNNdu509Mq9N022Qa7PKG-YQuay3p-phhq0', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 5, '2026-11-28 13:53:31.495+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["ec-256"]', 99, NULL, 'nwVYnCLgGFxJELELtGKC9atoru9dY_Bbp496wti8l1Y', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 6, '2026-11-28 13:53:31.602+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["ec-256", "d9e0ef1e3e0d190b61e644b912d2f7cf"]', 100, NULL, 'ndLOcvFTtjYMT33uTRGykCK3NI1sAKGKCxOBMuhonCg', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 6, '2026-11-28 13:53:31.602+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["ec-384"]', 101, NULL, 'wLy7InoswjdwK50ZjSXPAL4cOI7T6kXsciqcK-EwuTk', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 7, '2026-11-28 13:53:31.689+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["ec-384", "794ad97b2b6f6e8c897918e3d03fedb5"]', 102, NULL, 't1204T_K9Nh5xtZA1iOtXNMWy5u6nXBmlTfe-qqgVPQ', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 7, '2026-11-28 13:53:31.689+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["ec-521"]', 103, NULL, 'lEvU7z45GHg-IJ0vciMkydilE3JbccJBAU97ukLCZhQ', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 8, '2026-11-28 13:53:31.8+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["ec-521", "2b787d2ac7dff73157266e5191bacbce"]', 104, NULL, 'K_jyPjTMOWbVckt_hVGjJT3ynfexTOFta-0YxUKjZ60', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 8, '2026-11-28 13:53:31.8+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["ec-256k"]', 105, NULL, 'HgMZrP0RwQymlM9u5JVB7hap5GHj0SswSjpjFdfex1A', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 9, '2026-11-28 13:53:31.915+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["ec-256k", "ac8ad2afaefccf66365737b95e8cc3e1"]', 106, NULL, 'mB2K7BrbErChTeRYUyxEfC2PIgjSAq0UrtwKKAAoAmw', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 9, '2026-11-28 13:53:31.915+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["oct-128"]', 107, NULL, '0EOvciaFN8cEYK1BwdqXOYIWWG4R4X1JWrGpeYzViYI', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 10, '2026-11-28 13:53:32.032+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["oct-128", "26ad88f1c814ca4b656de3a50ab761fe"]', 108, NULL, 'dN-j2D0jCh2bb7Yn5BvE66TICF5w_g1DVvBlGDekaEA', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 10, '2026-11-28 13:53:32.032+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["oct-192"]', 109, NULL, 'F1C-cqYM29lsp-fbiJdgntJkaC6kOheF-bVuMw_GuIo', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 11, '2026-11-28 13:53:32.175+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["oct-192", "06267bc6b171de9d5e6e438d4d295cdb"]', 110, NULL, 'VnUOFsRvjYVKD7y2yKhm5kIzSXJluFw24VX2s87AM7A', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 11, '2026-11-28 13:53:32.175+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["oct-256"]', 111, NULL, 'tAXTJI50Bp8jzTEcTGtYaAb3ipBvK4LiBit3f9EXzi4', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 12, '2026-11-28 13:53:32.304+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["oct-256", "f1ed96e418aa85096ec373fd842deeda"]', 112, NULL, 'VOusQ_pg2jA3Njf0Ywidv0Au1kAYAG1WY8MGMx8sjFc', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 12, '2026-11-28 13:53:32.304+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["oct-256", "e9f9199438d09eff79ddbd849304a292"]', 113, NULL, 'uI9uKPcdqyeC-0lqTAij6LnsbxXDksEPgwnr6MpvyAg', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 13, '2026-11-28 13:53:32.571+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["oct-256"]', 114, 'tAXTJI50Bp8jzTEcTGtYaAb3ipBvK4LiBit3f9EXzi4', 'AS7Gvx-ZzDOfIGPEd8M9bHZGu91MNFICQM9eN5lG-Y8', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 13, '2026-11-28 13:53:32.571+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'rotation_policy', '["rsa-2048"]', 116, NULL, 'Gvi2us6Q779NZwFk14wusx8bHcJPUd0xMxmo32qlEQw', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 14, '2026-11-28 13:53:32.751+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["imported"]', 117, NULL, 'Mn8Q2D7jZrfZPe9_fuaEUzNEE4_d8EXFwoC1APYy9fI', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 15, '2026-11-28 13:53:32.84+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["imported", "17b5bd594b245259833bbc0552bdcef0"]', 118, NULL, '9LlzSsSAhATb8VvFPQxquML3ogQcBATbGr9BANG_HUM', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 15, '2026-11-28 13:53:32.84+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["exportable"]', 119, NULL, 'lItKLnuZUkG57GLOj0NXtv2HbpvOu4mRU0XJIze8kbI', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 16, '2026-11-28 13:53:33.498+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["exportable", "74aedddef53e84959cc30f165e6355e8"]', 120, NULL, 'Fi2D9yRbB1BnUk6ONa8foPAgPgEtY9MDWNqesEwx-nI', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 16, '2026-11-28 13:53:33.498+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["disabled"]', 121, NULL, 'w9cxGFUOBMLc3PQgAUUiMOs62hOOzWUWrQGteYpIEV8', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 17, '2026-11-28 13:53:33.596+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["disabled", "89f04e2dafa5570da2eb5837266de455"]', 122, NULL, 'NR9cC7RGpraTXSTvi831I15hzUK3XrQmdUBKFnoOlSY', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 17, '2026-11-28 13:53:33.596+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["disabled", "89f04e2dafa5570da2eb5837266de455"]', 123, 'NR9cC7RGpraTXSTvi831I15hzUK3XrQmdUBKFnoOlSY', 'bVMSzovV1Xn6dcI3zBYIK9zwgePPgBjIOtMzHMZp-vY', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 18, '2026-11-28 13:53:33.687+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["backed-up"]', 124, NULL, '08FJEMjPgkB8LkjTv6APjMIscGTizOFyerOldVpeXnM', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 19, '2026-11-28 13:53:33.757+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["backed-up", "1d257d1c4f74ac8cc2b6c255332a0871"]', 125, NULL, 'sqhC_Cd42U-QKe4D-tM1HoIp2UFH9Gjn4SaXQJ3WTPY', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 19, '2026-11-28 13:53:33.757+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["deleted"]', 126, NULL, 'ml5TIOjBgBkHNQ0l-H6ud9I-wR8anV1-jrc5iODyJjM', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 20, '2026-11-28 13:53:34.028+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key_version', '["deleted", "9f1e9493464e0e092367e83a4ae66339"]', 127, NULL, '7FeiHP22zoyUbxtjfKKVeLYYf4oxL2q9DE-bOkD-UzE', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 20, '2026-11-28 13:53:34.028+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'key', '["deleted"]', 128, 'ml5TIOjBgBkHNQ0l-H6ud9I-wR8anV1-jrc5iODyJjM', 'wbRw2rOMEBeG_tU2IaW4XUjW_ifb6Gi9ky3aiHtFfgQ', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 21, '2026-11-28 13:53:34.167+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'application', '["810687bf-c528-4129-ab97-85b4c9c66907"]', 129, NULL, '2tFC26aIca5AalHvgXlwyA4AqlZY5yQNIWhYsh0FigE', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 22, '2026-11-28 13:53:34.234+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'service_principal', '["b9b0b881-726b-4253-80b7-f42761c7dd92"]', 130, NULL, 's0yR3s9Lm_W71Xr3Ju-JbQb3-3tRekusny68NMGyJLc', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 23, '2026-11-28 13:53:34.306+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'application_password', '["810687bf-c528-4129-ab97-85b4c9c66907", "32ecc59c-b5bf-4144-b5df-7664c7d6a690"]', 131, NULL, 'CUfDAEjhGd_aIkBUUBYAWL7utuXsekXzc-VdeyMJ73Y', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 24, '2026-11-28 13:53:34.715+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'directory_group', '["130d7e13-4595-4bfe-b2c3-83eac617430b"]', 132, NULL, 'G9bjlq1ZYltppZx21kRhInDdk-YhwJHTmzjmRG_Xfaw', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 25, '2026-11-28 13:53:34.781+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'group_member', '["130d7e13-4595-4bfe-b2c3-83eac617430b", "b9b0b881-726b-4253-80b7-f42761c7dd92"]', 133, NULL, 'Qn9C6DHohoUGJcgUnWA7SbDeiGvzBe8m9suVnjsH6TY', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 26, '2026-11-28 13:53:34.865+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_definition', '["1462c6f2-5e51-4dcd-969a-c2241d6dcdf3"]', 134, NULL, 'ivBBxQ_rL1H9B_yZU99kHI-8R-ZmMqPxl5-F7mS6ObM', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 27, '2026-11-28 13:53:34.975+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_permission', '["1462c6f2-5e51-4dcd-969a-c2241d6dcdf3", "Microsoft.KeyVault/managedHsm/keys/sign/action"]', 135, NULL, 'Rqay7NvaIAZFDusiMEiHCe9qiTkE-fvBEmzCHpjyQck', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 27, '2026-11-28 13:53:34.975+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_assignment', '["2db87e30-eccc-4bd5-afaf-d2486e4ecf96"]', 136, NULL, 'cab8hirP7uI8vD2l49tHp-7_ZUdvr7RcL9bdPnnHWCs', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 28, '2026-11-28 13:53:35.08+00');
INSERT INTO public.audit_witness VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'role_assignment', '["799818de-98a9-4972-8762-ae006514587a"]', 137, NULL, 'Saz2X3Ys8teH_Vu11pQ-H_Cva6QevOVtu7YN4yXAm5k', NULL, '4bf3393d-ff69-47bc-b4fd-15bcc3a90e4a', 29, '2026-11-28 13:53:35.23+00');
INSERT INTO public.backup_keys VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'd80ff5f794b33b696534848bd1ab100f', 1, '\x29bf09217aaa30f69c50b71703d1699c35179190599b04c5650ca7909edd6c7943688ea98f8a1dee', '\x36c84f4eb710f0551856ad0c3708c5925b8c623f6ecc4731a51e99784986185f554797b1b21615cf31d529b891457ddaca917ce3c767894f4e89b614a9e4606b75b995794e09ba11', '\xbeecac598447c9a2eb2c5cf649e8523c6375343759759844b0b2aa33803e4384', '2026-11-28 13:53:15.307468+00');
INSERT INTO public.directory_group VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '130d7e13-4595-4bfe-b2c3-83eac617430b', 'readers', NULL, 'readers');
INSERT INTO public.gcm_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '26ad88f1c814ca4b656de3a50ab761fe', 64);
INSERT INTO public.gcm_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '06267bc6b171de9d5e6e438d4d295cdb', 64);
INSERT INTO public.gcm_use VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'f1ed96e418aa85096ec373fd842deeda', 64);
INSERT INTO public.group_member VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '130d7e13-4595-4bfe-b2c3-83eac617430b', 'b9b0b881-726b-4253-80b7-f42761c7dd92');
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'rsa-2048', 'rsa-2048', '7b0cf22265ffbb8bacc79518db832013', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'rsa-3072', 'rsa-3072', 'fcce822fe1c0dc5d74a13d6f6759fcc9', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'rsa-4096', 'rsa-4096', '85ad59715263eba17dc48134d9202e4d', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-256', 'ec-256', 'd9e0ef1e3e0d190b61e644b912d2f7cf', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-384', 'ec-384', '794ad97b2b6f6e8c897918e3d03fedb5', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-521', 'ec-521', '2b787d2ac7dff73157266e5191bacbce', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-256k', 'ec-256k', 'ac8ad2afaefccf66365737b95e8cc3e1', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'oct-128', 'oct-128', '26ad88f1c814ca4b656de3a50ab761fe', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'oct-192', 'oct-192', '06267bc6b171de9d5e6e438d4d295cdb', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'oct-256', 'oct-256', 'e9f9199438d09eff79ddbd849304a292', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'imported', 'imported', '17b5bd594b245259833bbc0552bdcef0', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'exportable', 'exportable', '74aedddef53e84959cc30f165e6355e8', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'disabled', 'disabled', '89f04e2dafa5570da2eb5837266de455', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'backed-up', 'backed-up', '1d257d1c4f74ac8cc2b6c255332a0871', NULL, NULL);
INSERT INTO public.key VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'deleted', 'deleted', '9f1e9493464e0e092367e83a4ae66339', 1795874014, 1803650014);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'rsa-2048', '7b0cf22265ffbb8bacc79518db832013', 1, 'RSA-HSM', 2048, NULL, 65537, '{wrapKey,decrypt,encrypt,unwrapKey,sign,verify}', false, true, NULL, NULL, 1795874005, 1795874005, '{}', '\x96ad31e2413fcbbb1a091133fa2005248f158f0b2ddc4940e727073d2e1c149a0a865eb73c8d74a96fa7c8ae6e445740666727233dae0e6993e011313ff51bd9ccf3f2770a51de50b2ede5b75c7e5e0710097cee054623ee2f053181878534b00f282856e108b96853e1aae3bfe19f8d18562c2aaeed9647d0e2e3daeeabf0cbe44bf690d4bcd4a8abc89d26e8c53509b1bd40dc3e527378eaf6f36e1f30cb3127ffccdc86b317400ab5e85e59bcf074601081b9905b58df3b6bbfbd3debbd1be253803b73087a67e2befcddf025500a94163cbecd73367b01eadd72a0af4502b147254a84f7cb59d6d2af7733ae72baaeaa096601084256e5cccf5af0d945b5', '\x010001', 1, '\xb5a2f11b83eb7ede4553810bc654874bf7152dfa89b774d105bef24d0c48a62fdecbfc2177b6a19b06fb7e47223df33b1c0a78213c7642f610e7cb218e9518014b8ffc3cf38514b8e74bce6956c2700213ec6e35745261d6a4466a14209f6e78a161d7b1f2e1c283325b68776bc49b229e7f56c73ff776fa0496cdeaba16ff9772f143ed4f68c9e77dbae7773f3e95cf766d85c05e24ba12bb7d4f23955a10642e6d747041945b211f18eb8435ee9df0bf987cd43562a2e3d390d2ac9a36f7a3ba3863153c504be230e5dcfeaed0831e2ebfc1d69fe26ce2d4f221be0bc775731b30a29d7946f0d131fbd0ed0ec28d0428fed143cd328ff480ce4520f58f202e2cdafb7af2335ca28e40d7c16de088cb7dd406b8a8f0a3928f50c2428730764dd4dedb68f01f96b59b5cc0cf705ec03acf6e6ddac35f5d5617de56b2c6ebeea6e35310f321e0895d191c4a1c283f04985e1c825ac1c4dc0fff143640d1b8a1191801cf8317604027ad68d80a5906fda4d98e6dd9a402331362fbfb18a7b681332a919c8baf8f9eb4da76a4e1c93a74426700cf07205355164e33751dc46fee33c33e558e420bb86a1926daf2df59d42ed1fdbacbc3e669e315138bfaa5e75ad26c589a20b3f966a8cb61b9609605d849baf04f1daa2fa897b95b3a2be0dd32cf3236f93437cbc3e37e9ccb055df09f8692c92f3a9c512cef588f051ad72f4df99be0ad9ce0a550d9f4e2bdd0cd86bf0aaf9f8bda6962ed90600f23ac63c73eb1a594ddb88ce97199c5dfc50f2b5433f8a243c7f4beb763a9a9d709297702f84555b757402e1856eb07ab9f7323eb8dcbc84f210ed2c688d9d8755d61054d1874f434420904cca2377df21de27d55a15a0a2a0cc72671a432f26312a0a6a322e995088fdc0a9acfc6413ac4a3b1060d99f19db3320e36230166efb96d238a6a13e67d7aefcbebcb042b88ab992fd670ab141adccf726d4c3e62ec7fb53892054434326403c42db0b75b2bc77366c6dbebd50f067a40ba0a7b3b5b8b1096bf9de1f122aff79ab0e7add6db5265025e8d7a7c0f0a1029575b21a68ea6347af3c3a8fa1c3de0c77dc941e470ebc340f25a4669aa628a61df9bed02ca7c9ee2f80d902cf35dad0ccf4c25d391d64afbb1df973ba2398bfb4218856fb3d02b4d32ebe4464b339e0a9e0874a9c79563ff72df2efa864990c779e322e2a1bf642a93f214da4e523f8e6b119ab6d52eaaa1c8010a2e756d50b587aacb4edbab59071d50f9a9d1e2e32d423cd33e52eb41e2672973de54a97b141c971852e22eb93d54b6a2fb8f51175fffe41d81e6b6d05768964f69694cf2fad4da376090e96f5a8f2ba88e427882e608447e2a71a230ba7db5636c1da4857834e3d38a0c6e029c1723881476375056b94b93f3204bf814c4f17755270bef6f9dd4d1a27437bfe93c2ff072687599b3ffe696ea6166622b17e373ef658fface45e0ae425acd749a127812375266c4f30aa5b4dbeee8c937554f5ab6cfd4078afb240d94b3ed133294d857d74d39b30117a75ce1c904bc78eef9473d90a46bfa39b86e9f297f2592ce2ead24e8f5dbb9dc8e7b6a2b10c22bade7aa64c71f6d121b007eba4b74ea54d29fbc3b0896cc015996e2dc7ab6ae019b43d262e973809eb80a4bdbf65b2c20dcbc4823b04d027cd0c0f6f58a327559df3acf8809602ec3881d0d72bad5bede81ac1e12425d0abc888f95d57394bf133189dd', NULL, '\x10f312b3f84accd8bebfde5178af7e355762850319c79067b29206aa885fdcd6', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'rsa-3072', 'fcce822fe1c0dc5d74a13d6f6759fcc9', 2, 'RSA-HSM', 3072, NULL, 65537, '{wrapKey,decrypt,encrypt,unwrapKey,sign,verify}', false, true, NULL, NULL, 1795874006, 1795874006, '{}', '\xc988c8b7cf1247c9498fb14dfa9dfa1033261a6d11e193b0457c299ea677a451ca49bab306551f504247e7c4c4ed00d2a497e1d20fbddd351b427409dc1600f042003835d57d4116e591904efe5cea0ad0e1f64fafffd4921dbf7588e610b7340d898d74bae27c85807d109871272f308714122e072d2c418ff605df6fa8cb6f444f45b2298057f3f43b2ebd72d3c8d18c41c51eb30dcdea8d7be4e2ef62fc786078087185ba7e7a1476199c942107414c8793a709806d96272a638a8a0bf4b747bf5aa0c68f493395d678d797651a3f98fa87943ca65894449d9392059739f1c0f19afaae8e37834e2de848bada1290bdd90ea7c449ba7fd6d938b40abf36c5b3fceacb00ebd31933a33e40bfb5295219659548318b4e0eb67a18789123725a380bcd2f43c2665938fb15191fdd6d79c65e33d1c9116955f05a6921ce6fab5dfd5372891376a5d5c85b34cb9b978f629bec3794da19a59b8fdd53112c44c60e2dbec9f73f6b466b11583c8c65d68dac380d0df8d4c0832c0d79a0060d5f9fe3', '\x010001', 1, '\x61a497594e8e2f5f370deadd2ab10d540439d8b2ca72ea8dc6f7c932368aff9e8963139bd7986ec608b8588f039c2b1677c5d1b530089f026760f3d90f382190fea8b9a8de9b675062cbc29665e11dd5d1f68605f0c357e8e7923af71de193126a62da5c37bd69c043f63e3d7a79ffe537b752166f9860d83769ab7507952f01b2de274fc7dd88fc2c9e0e91d8208e4e9bc01a0d2f1ff317ec447cb257bcd5850e10768452bca985bdc69198af0c8237f9cf0523188853983e48ed5bca0b59e3e62fd0baf0e882d089c401066c0408bc3f08cc41d3cac7820eaedd9ad4d4e65dcef7878036423c840a61f59b68a2bc5a3542ca98284e81b25613ab0b0919242ca600b7da452c8bfa07423798f4e3155aa4b1167cf4ec320fda1cb8317bf3e6425ea3e28c1dbadb1c00b6f6e6ebdd5963288a35014cef4c273b29c241756d1115db88e5265118340e9f4ca55139e1732a5fb65a711f28241b78a89644917968705145f582eef70aa04382f0a8ccdab0c4695dca9f29dbdd844fd7326e3c299b3a29140e2cb509d965fa290383e264284a7d788cc98624dfa440450e5e36ab1ce7c4f15ca03f0f486e8237595436c08f165370aef764dfabc04e593318a3ac40464769fa85ad0303c77f75008442b65571820838b191cc2283579d791099e425f54bb593e4e37e7886e92256e9a146edc83e9b2d9fa442f54623c19ca89e4423c8336e2909ebc1d19e91d617b069ba41124d5d63713cc8114b0618d244f40668c700892fc3b028aa6291999d07f4d94ddb19ac3861b0f920c98c60da95f0091bcb68fbacdcb7753d859f7402b5909f14c3e0360e11ba957ce9597307c616dffb5e5336153200813a1f0da10493e5d85847298ca4e2e6588b8626d57ecd8d663469403db4b6ad82cc77f80a6f096913738ffb3a92ad350dd149354911076822e9361b2776e66250439d12a77f9e02dde725b5fb4f65ff0e0c647fa2fff1eae297feb7bf19f5c346e660f000ca22ad0278b276239003d1a3330fff96bd9605356d483ca4fb7824cc00d29f0ea62fc119a29784bb8f3a3544606f278a19b5e03b631a7f3768a5d2c5670035839d398476071384243d42e1e26f04112e445e30e3f70d52f0a103b791023a72168d399b0aaaaaa5e945e4ced42caaa45ec36076065554dd13f1c2698c1ed60fd36b21bf1a90202f401bc8455af2747bcc10c09870a5326bc7bb8acbd8b4ebbde1498eab79afb4e9bd74480e286f06dc5bb9309b812ed9788a92562d581f5d5000fb248c1b545714313bf99c324c713968f2a6cd1ad140f67b53e9ad779cab642158158aeb9e4f1591962bd8f558502ff990eb78a6f62d6e8ed2cc59588e7bb6517cae6b663bb82795897ad2b124fa4d6663196b59ec259496831fa15bb09bedf89180fc2a27805f0e5d25a6b5507d40d17f5c613b4dec8f04597914eea597c0032de9f2b21e14d18a7289a04f470e7f8f0539cf8a7070d043831686d8751332a0bf80a9e12211a3878c1e5632572297e772d384276eb79e233d7a373fb05cd3069d702574ee0553ff73100fa1efe39520be4fd279b1a4d1a7c40f25ea908ad25f22e8d91092014f25c0e5cd549c88b7533622b8946dc025b8112473c16bd104613328e0773b16ea31173a6a40b489e9b1936dc0df0b2a0dc50f057a7f7bcc6d8dc951fc6bb8e7ed54fdfd7c9288a2ee4cd691db5dce21f8e2b091ec9b32b154bfc08dc43b0a5674db14deead0081ee85936b55c6f36e43a7993a9f8f3edc57d31f9e3acc5a26dccb0704bc39709ec95f36082950b880f671bf5386ed783a24e52386b76541b9d525a4c0368b2b12f078ca97152881992e37f2e057d5c65cc22dfb956dd9622f0208502243f99f836bab440e1e39d685a5468edfc674127105862ebbdc941e5362d0e32a3de129e92c3c3c07e3f73f78f79569ac1ebd17ce55f21ccccdb01c9c5f48fc8a240162a9a68a83e80ee265ad9f9aadf7bf741713501d8cb8bc1175bb8f087e1b51a0008592a86a935a0daa5adc8666970416f55767e81bbb2de819e37830853ae25d1e70aa2cc6b75fd02d73ccabdd7b7e968b2d5977c200714a1797f69571808165f7942d2407988211815527f9d32e2dfc25d5b83feb7554076cfb71bed98e36027e8ac6a06c265add942f7b24a811210ad94f6854d0cb2df480949ab4fdf3f5acca8bb275dc497d93d85a7273e85f049e4a292287ae47acbe323564f21d86b6ccda2be6541f45796ec14ce9d1ab44546cdb99ce4b996dc998a586ecc43e24ec1c2cf8b8612d0de4eca3d63c6c2341c55b838b654d1a5f107b56670e462b131fb03f66b68a9998f7186fc394b3e203d51fb9796110c518c95dfc96b6635062c05a8fd808ee94129a8168bebd0f4c30032fc399ad302fd96ab23a0e21516351caefdefe4a44f796302df6848d6026924eeb519eafae1a1a332c2244dd9930bc714f2deacf65a3d9aba2dcf6c95dd0f1f508c07be72a9e9e68fcc407a1770b2b8790615c9be76be9608aa2fb1a90e339f7dee08db5e7dae03d46d639e', NULL, '\x8e736cdd77692e16897d6cfe8e97555f297edf14287e05f1123662b74a7c0d27', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'rsa-4096', '85ad59715263eba17dc48134d9202e4d', 3, 'RSA-HSM', 4096, NULL, 65537, '{wrapKey,decrypt,encrypt,unwrapKey,sign,verify}', false, true, NULL, NULL, 1795874011, 1795874011, '{}', '\xedece3b423a9621a4824eb29b2b5cb8826dd2efc429fab2bee85fbfede12285f449fae0ba42c160fbbb3834aa27a5840a7c71131245bb9f987d9bf50d75024e92c9b792b83f5c221c944230eb31079bf996356ae390f5857f9024de6a0b204920b48f2fb3f0c1543400e5dc18ed2c85dfe1821fe4ba28fe87b70d7d96df1ab7969cdbed6b15b87bebb24e92779f9e9c04df72deded9809ca9b5ec87155683051b51fac42e4b9d8d2340109786db37ef579163b7b928b91af6bad9388852a8f81616e1a9be0111ec06ce016e10f9b260b5d9e13105f4d369ad5221b38bf1f8df052973795f69b93f6319df99d4a7f0a8194aecb5e5137af9db725dba147ba65566264a13bf2d5ba25ab442a8c107959c2482a54db8ad94f932d9215a905f5b1c6a02836ebded1b74cc6a2345808f6be4ac7dd2821bfb809b5d1c08d670639baf27179b34222c0ee05e0c1bbc67d6e75182a7eb551e9cf4d4453e7987f8abe470b169abf0be52300dbdfc990c3b19e122da14b071783c5586622c580f6a6cdbef3e1aa2c3d7192bf11c4dedc05dc2e2220f4f7ce14492cba0b1cbda3c9817dca9c41454bf51ccb3fb75b44d2fe198c7f7e83e2d48395704cbca7ce1f22f30dcfc08c3145eb5deb24286511153ee047ab76cfb98a1cf5f243e3b9deb631ea28a3c005d0d5cebb7dc1eaab7a2ae15ac375c9ff322b7530aa9244ff64bcdaadd64b65', '\x010001', 1, '\xcad1f852fa09d00ebbb4c5afc6771114d2ff12e41f376dfaf26a5ef2e1eab41e4f73e37023c6cb7261e1cfe941dc4130218aad60a1043aa170744c2fa4957694433b684b8893252a8058784eda3d8f13e6d0e705c4dc33379fab13dabfe8f8bf0505f4be3fbf748793c89dccb55d6069c6c1eae1ee98ed28177fa62003df0bc538f970391e7d1deba8268792a26ef40d41969ba3d177a0d535ea8ac6b67435c4357a0736d02b9517d531c61b6b841a3ca87d277cc69336862dbb3dc64dff7c483b7da6063f570a9a0fa116d7b3a23a90943b82af59f1288db8c8132ec3cd003fa85ec8a3eb400ac2710540b582220346d86ce211aadaa3f026c4b00e4a9f8f1554c063130435e6aed4b2802770837c692e8c058ebc000b48128f7ab4b114500ba595efada6e6d1b9c51559e1edd100b865fd3643f737425dddbab3404d647079aa9aa37b4d2ca7ad175388ddbf2a4d3f6c20196539081164c3b6050fbbca7f75e91c5b0d54ac0ad12961d736e73a38d447642c706837a436dad7ccee05144f433277ef859705a97fab9ee4e728a9c989bbda41852576985fef0bc88d3293973e9a6de3125694bb15765a69c1aa054689d79ead4f7536c158caea53f87173ef7c256d06e420c379e85617581dfed4bc6f81235d68548134a01de08482de529ee9d9b728bf9c987cfe33bbf6ccf9ecc31548edbbd2456b9a036587689a6e9bc9c9d169f1f37b0102ec69913e27c65a23a448b3d36e154f9bd24b01100e11049b098b5986da785e01c2e95215d0a42dafdcf687f065ddd63c8b3304a8ffd7949d5906a2bab0870029f56962206ef1f83d960fca9c0a7f568c8ea1bc1581a418259d974e588d9649e3c443c9aab5acef7f68ecbb996a1ba86b5c17895c35621ba257fd419d2fc5246dfea6842b1cf59ed1901f006f5d68fe226312c821a2ae9be3584ed05d532f30026b429b019260d0c6d4d8cb74e5c30cd1250a5fa4da5a07917f3fcbf07986bf8c166f27d6386906801d6c83e3f2b8dc0fe30021ba790113652c6d868c16e5bc0aa0d33865c83ad8e22b9a29416c895863740b61f46b4f6835cb86b705ee9629a6a56be7741aeb14476c5f24b446752c4864c605c43c16147ddd85a849a506174ed1f781bb6cdc2bc9a1b0f8ecbdb6b4ec397074ab0487549615a879e01585d6733fb012e319e81ba5ef1430a224f881ffd2d9525f428cf41513df9bea6f246c25fec73be6443a9fadd6af622b1f6d03a349b56e9f5f3fa5d7e86f0bd1fe394aa2798724c3fc2bf2e8f41752983bff10a27ae7699ccc3409cfe25a093dbd0db4388e1362721542abeb966daf36cfd833dff1548fba55beda44336b2211a63c6d3817bdd901b618089971c941067006797f36b533d86fac0f1ff18dfa2e4c5fb6ef4fa2e12d5f673cb2eedf9a2cf13d739697926af9f2853850bdbbe913872990112c359ff92cea6a2621d97e21d40f81294c29bdf4ae09cbd5098dd8453093213ee64e1cab4867614b296faf2a70aaecf4d05e6bd2658018e514c820bbeab5ae7e7d7b1efc17a7a5b783a7b9a28f34457e6a741374cfc1fe5d75301db739036e1b210d4f6b760bf4dccd81bd3111bba4a7eb26245550583a6c266c6444aa678de9d789eb1039d521361ed3a1c18c65b15e30bae20c64b22a689c428a18f9cc9d72977056ebfd33bfafe5e2d6f9d3d5f6edb2986aa3b5c5e13e92c8650e3f139050c1114b678d0c9e8093eada0fea03d427df877575895693b2d3ad16821fe2f95e3452237fdd890869ea07141e1f3fd3fa323e9a7ad7eee52bd9df3b838b0087c3f4687960c8415ac49d59da01cffa1c9dbd0f391394841b723aa90baa04568099acf97814c31ca26edf09826d7e135cac1f70bf0f53c765e5cf3dfcd047d1922cccd6881a11874ae0725cbf80aaf102e9fe5ad2bfe1b0f2b5650755cb8a16898a66f1782e0165dd8edf18544251c474b2c497c6743782561912dccc1c5c84b9fb39d5136a06811bd6a948ceb9d2776efd317269293c1827070cfd45debdcffe6141c0cb1a7d68ace819f1c66bb6548fd103e2a63d02bef350284fe221e3d2f3783dd9fa3a2ca222445c0943fcf01389bce033dd2ca2f162223ecb9a7b5fce8bd941263b10de5046884764390753588591da479d51f888b659089a2f9a22a53192ac59fe20e66e05ac61e8a776269e0ae949161fb24043cd37a1717264425254c0ed231c9ef338ae7275aefd8e73cb6f804df3f99979a1af1c755af012c860506036fb109c5c2d2e58f6f8b26d38e2b37f8c08d58c938ce764e18de2a6a1c3ec01ae41e7acafdff4d63e9cad8c4482e07807172af1e5c0f1f6d38543dc0a59a1c22de3813de8d188e12116a46dc66a4dd4be1a0e72cae7325803f135e9c08213ddb88b79b4779acac0eddbd23256c45b64a4d742a7c62c301b2ab9bc8f8ff2257eca659c54bf6d9ba3c2aa2efe5ee6a817f2828ea9756ef63f3583cacde9c51012cbaa3b6afc87ea3320fa5f9da9d0cdbc93ec02c019424e26f359d7b03f6d9fceb498a2306d9eec8d0371c4b2af7fefcba0b9488432f95db76884cb5b07c7822c67794d7c9d0a2d9293037923ceef5ba80a0ba9a3451e2e959ea4d38a2512fda2e1e0046f16ca7e47308f2025b9b1bb4d04046830de3d7554ec981256a0fcbe4c676c9d041e1718864b240e2633f92a10782a7eac63f8dc12f1240e13573d7e666015404af6753d8c8f2b2121045aecfd6bee9227b8981826ca8ccec481af54805fa5e19cca6db7019379e80cea3f038002c0be160930bf0a9bcbc17b2d1c36ea43c048c250033e9f3a8bcc9f16ca68a312c0dd9e7c48ea016f29f1e456b27692006d0409ae91f00b23bb3a8b6b611230e213bbf992e33b62c4dbfe4d923ad98fb23a1a325c5625ff6146dab98be68af94214d1e65fd6d72afe5bd79322dc0a06a54291e4f18fca62a69ef99164fec68f4b36cfdd201224f330513cb0349cd5881678c30d3c8ddb165ab723258952b1b81f251ec8082991970e4b40e5b4d1b02328712bbf1e93d3ed7fe20600ec63e0877d43bcea2129d907b51f22a7aeb472928bdef79987ae5b807e0491563cab487a65a607251c1308dfa7039c0cef94a2594fdf574b49eac32e3fe5052921911c6499b3f579d5cc9dec32ab8ec04a0f49bbbeddb86bd0e44f633ddcfc95fcc5e13b7d08dc4ddac5d8e47403168b6a26e193a4c9c91ee120fd3c6c4497761e2ab2d4fdc31e857be22f4e75f877ed50164f01e59f128070116c8054c50e2a732bb9eb88fdb514a2b9180bbdcbfcfd43d8bf5ae11eac06228a0a261bfc67bbf2cde2692f73cae34af7ead050740b14d6876263b61e323e0fe8fd4df5', NULL, '\x50d67b4da68edb27de5d9e005d974d65c25b65e8935f3e3a3d35cd80c90889eb', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-256', 'd9e0ef1e3e0d190b61e644b912d2f7cf', 4, 'EC-HSM', NULL, 'P-256', NULL, '{sign,verify}', false, true, NULL, NULL, 1795874011, 1795874011, '{}', '\xbba231d28412664d1ea0f24146e2d61b1954a9626a98f8de28289461b4d55b72', '\xa5ad8ea70974fbf6cb6b5a885b710432e1c6a8a608942aa3a7b140cf149e9220', 1, '\xc957ee4b7b9f73435e05290ce4c6b2db0ea572b89b02788de38a11ab764fbdc4807f04e31a6c28eb39272a834f31d30194573f26c3c9252a045ab8a05dfaa45797fb08d0bcca4f743798603be531a0e8', NULL, '\x75c67c8c064d5089686b6408e447c06d18b426e0ff15b868f407ab712da50b50', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-384', '794ad97b2b6f6e8c897918e3d03fedb5', 5, 'EC-HSM', NULL, 'P-384', NULL, '{sign,verify}', false, true, NULL, NULL, 1795874011, 1795874011, '{}', '\xf995145eb70dd0fde3b0790a1a4001a229ef9048d007af0d48a3eb256cbf7656f07d4b16ddcde56214d3b5973691fb16', '\xc4218f744b6cde754a1bfefbe12d5e6b8d0f5caf2bd21a60baa2ee5644177e5191497c68cc121d994dd1f34e35172c50', 1, '\xc1c529fae3715b9b6ca919792ec0e6e04625bcba3aa6c26cf28a6c2d889945914fa662b2aac51cac98f450841614c27e7805a7dc4086bace98331c48a88c94da15884fc6df8cfc58a07b856e8f920c44aaab8bbbbfedf515', NULL, '\xfddd9fc3e13c59ecb513767ae03ccf75613032c3725db5c810df53ff567288ee', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-521', '2b787d2ac7dff73157266e5191bacbce', 6, 'EC-HSM', NULL, 'P-521', NULL, '{sign,verify}', false, true, NULL, NULL, 1795874011, 1795874011, '{}', '\x000b32f9b035eaa6f630c2cbf8a742250ea2e2e6d5cb25f18b70e5a603f620753c1ce6dd2b4cfacdab7daf9f768fcd3af44a3bd061ffe4eda0595fff6f5444e82ebf', '\x01df5c59dfe97d900c4bb77a3e0517ddc4eb695d7472e06e30c43b88a69dc2e211783bed5a0ec9fe56adf76ff1b14549f0699dc4ed5ef52988c754e05f9ce39e1c19', 1, '\xa2e8d3b3d503e239b83159a6af67ce0cf473f3e329ab03a7dd5eeac4f0829524733129aea3543f63bc12da460e025470ef0a6250fd9f551ccc1bbcba3a0983604afb9027fa32e0d03acd99cad500275ed699f2f561a4022b6a20594b4a460035b45d61baf0b963ccfcabbf4f9537e9da', NULL, '\x5141764f271d38bef3ac298e501898a1a2eb62c0adcb2c3a090a4f897fb64413', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'ec-256k', 'ac8ad2afaefccf66365737b95e8cc3e1', 7, 'EC-HSM', NULL, 'P-256K', NULL, '{sign,verify}', false, true, NULL, NULL, 1795874011, 1795874011, '{}', '\x1db92b7b9d13508b89f5d2cb4449805f82e3cc52441fa530ef0b228cae5f3a6f', '\xa4dee5eaaca41e78a73899a1f0e8d35e15d45475d40f202915bb07e5123c0ca1', 1, '\xd7bfcb2f53140c78a63b459e1c7ed5f91b7efad579f342b3eb2a9d43e061452fb1bf73d9842788a9799c1815d572fa5823fe425cffbb24f517d9610b8e2e34c9a5929421dbbc6ce9', NULL, '\x37e8210c198bbe7f927ce9e1f80ed5adef780e6ca70eebfe42ad51e7cef57e3c', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'oct-128', '26ad88f1c814ca4b656de3a50ab761fe', 8, 'oct-HSM', 128, NULL, NULL, '{wrapKey,decrypt,encrypt,unwrapKey,sign,verify}', false, true, NULL, NULL, 1795874011, 1795874011, '{}', NULL, NULL, 1, '\xc180e3fe0fdd71578ca87d81bd1d5454766ccb663b694ea4', '\xd7076f1b99712a9e93e4fa3ca42847cef6714a895c24da4a5219f80ad88e2ed827d5b668cdfd50270ebca219ff35108a6ffe237e064b5a9fb211a2e0f5b5fc51e2944a24e3b69549', '\xee9fd7e8b8abebfc499119d83cee8cc2f7bfe0786f76bbbc90e918a595d751f0', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'oct-192', '06267bc6b171de9d5e6e438d4d295cdb', 9, 'oct-HSM', 192, NULL, NULL, '{wrapKey,decrypt,encrypt,unwrapKey,sign,verify}', false, true, NULL, NULL, 1795874012, 1795874012, '{}', NULL, NULL, 1, '\x026fd395f52cfba2cfc287df4e8afc1da9e4e1d7b790638b973f9bb486e826df', '\x7ed405fe9e682c2373414ae84279f8b33867b83c2d27f0d1105b953aa1b7d3f33ad080945c85874063957c3aa097e5be4111ec06d0d29cc2859663d1a3d37dfe593c070ac81d3fc5', '\xa2fa95170ffdc8e3b51726dbfb7e951bb56847a044dbb26bb96ecc022c7e84fb', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'oct-256', 'f1ed96e418aa85096ec373fd842deeda', 10, 'oct-HSM', 256, NULL, NULL, '{wrapKey,decrypt,encrypt,unwrapKey,sign,verify}', false, true, NULL, NULL, 1795874012, 1795874012, '{"team": "one"}', NULL, NULL, 1, '\x87e108043a279a6e63338b11c3269808482fe1e3fb9b7f28ca7c988f3f2336dd659e5d2cf91b5ac0', '\xd3c5c56658bd9afe4d2b1b74cb8d026ca5b07885d7f3b4d80790c4464c9652f07db53a55e85489ecf66c60a5a5b9a5f14087322e4426879148811192b73360829ebfa0c0628ae522', '\xc659dc770aa170bcf3792cbd765eb610ee5214fd9a1a2eecadc5825cb4104ccf', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'oct-256', 'e9f9199438d09eff79ddbd849304a292', 11, 'oct-HSM', 256, NULL, NULL, '{wrapKey,decrypt,encrypt,unwrapKey,sign,verify}', false, true, NULL, NULL, 1795874012, 1795874012, '{"team": "one"}', NULL, NULL, 1, '\x2b7f1d31111624ff61fb0817ffa401a0566e87edfd6aaf32917e1556b35a6391a75de1e82e51948b', '\xd1f01ffb54d1c972d04562c58e958371ea7439f7e0cae06339685dde67d615c637526cd55de2db81e7553e812e7abdc9bd753430a617d1aef827e31aedf12be9c34e7a4d1473006f', '\x20c28689b2f5ab9b128e586cd1d7e4d1b165183e4f4d5ad4d9e8c683eaa6e897', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'imported', '17b5bd594b245259833bbc0552bdcef0', 12, 'oct-HSM', 256, NULL, NULL, '{wrapKey,unwrapKey}', false, true, NULL, NULL, 1795874012, 1795874012, '{}', NULL, NULL, 1, '\xa0a22b2d7a0bc3689a3ff2027d8fd203a8ab55a8ec6fb0c155c0230b6e114701887a121005f1e07e', '\xa58d087f910d22b78b2af16227c02dc5a08676187fa34f9247661a45fd5a168e3479045be5f41ea7b6ea84fddd0cd8f731d53ca6c1768eb108b83f47111bbf39ea2b61f5ab96cfc8', '\xcd10affd7153c6c931d99fdd72a4a775f130b47e55ea9ff7dc2d4f21eddd41db', 'imported', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'exportable', '74aedddef53e84959cc30f165e6355e8', 13, 'RSA-HSM', 2048, NULL, 65537, '{wrapKey,decrypt,encrypt,unwrapKey,sign,verify}', true, true, NULL, NULL, 1795874013, 1795874013, '{}', '\xc2966941b962b1ae24aa8de12a3d87298197b8c3138b96de6a886c9df0fdc2f681a4329e1f79af65ce63b0c3bc2a7db45b984e3d3515ae007040ab914ee73c16a24aeeff80f350b9e7b98905814e80c3ec11d4eee6526b2cdd12af30a3fb320c4106337f92014c8a66d11dcbcb4eda2ae0ce1db413dc610c1fd445db66c9909767fee7dc3bdf57639cde0e301f4b3b144449c206e365a881c37dac8c6b3770232bc77d0292ea9e056a240750c4ac88e335c504dfc9585d146177c4466994f2560358f54ce76009f17a9500aacfcdfa141ca0bfbe5da53434405d0cd60491b9443a033655eae2ff0290093ead05d4dee4f017a3b1db91ab9c99254f3c3e0ea715', '\x010001', 1, '\xc718098329adf6097fecb0110f133e42b66cb0fe1e759979e89a92b894176feef98e53400d6bf8cbe2dfb5787336eab3a1eb25cf62ca04c3787ac552e182784586e3e906992e9c9e072003ea6166d1419cba92a0a8b2d288214417d3a0d2dc865afde05987e2e28aabc381aec07cb454929bc10af8ca9769ddb365b579992b72cda0d35bf46e770d3c800ad9950e7d365f5cf8e5b97fc325b286f0b0bfd2ad968a702ca65d549e1a08126aeb15933f24a6222f9135b9ba2b07aa147c70748cf70cfb00f8e48c8493efff371b594cb3eb9af9e958df873e182bb19c467d317c74bfa61f79dd105aa2d16a083f7bb458b3e7bf5a4df42aeb63774e04ca3e2532b24d1e9c9540209a22346c162f8d65a183d1826de0e4a0492452fdc7af385aa2576dc891a03306979c7756f3b9dce8e04ce3044fd3ca9dba4af813139f2026d852c771cc4513edd45ac6793930d7c956d6437ebbb733265c5e060b3a877a836761f4b3339751ef9f6368e379a1a1fa5b0180bd6c65db813a41a4cc468d3b452ee5efe22f0526f65171c11267d8b2e72ee5999899eb39fc7305989cf56b681b4301b1f77ef60ab52530ba40ff389a1796acaa91927a284af5934a097b5f589a91dba24f623eb2ec51d0a7b4fa747fd813a2bebda1823e9ebd4d7a5e253ec24ab24e66042ea96a497677d7f705b970505aced753177385dcd8cfb955952656a9ef029ad53dca830d1aca09231bbe5d0f03a5bc3f2acaebae0e6272c8fa29ae6e23cdc7b4a39e25581bed2c46f0171c6a40e800eb30cbab4ba0c8c0d804f65a2351423cf7bf3ebbf09808c7c21b9f896274cdc6139004a4e35200a43b9ef5ded029523b8a358b5b37e655abb6dead7cacf6fc2b34bc1602c74b2083a088f249ef900ad68e3d7195dd629c136e5ff84a957aba59888657ae986b1838388201684c834d2f73dde7e54f22f579ca56cbc5e2686f5e51369d86b483ac803ea9e286a6e119b517107fcac11f51ec3297be4fa4f44f5628742b93e2293780dfe3861c8cb8d9c359dba2e003ceb08b42d9bdf7ea366e704e7cfd821b809630163d0b5301341022e7efa04b67cb908de1f1962dd7289117d23b64b20d49e414ef01738331944321785de5631c167d47492185a4b27d8d2db68dc86a2a6a76967e1e259dca92638a02fc36576f7813fc8a32855e259e405bd974c4fdd9a06cc5778781e47650a8074b3c6cf5ca5c6acd968770ab81cd4614dc4b6bb888f2f2caf4621b79ae479cbcbe0d4015ac820df469c2b840d98744125527a629e3672630c3f3e0f372bb923f7461a4e994ba94c9bd859feec1b3738f7672748a5582702beb1f81ea8dcf399ce80da27535a1e634000a63e5ca9da2c44faa7f8d755abe2e33fbfbb1893fefe4ec70e63dd165bc1d94a91328658061b59695788816d970b7350bc12470e1ef9c5efbd6e62c23f9c9610dacee0df0ec50b7a4ff76ec4dbba545530d3e61d9a8fbeed140e5eaad307131022ff5f68df1d38f091479ddfa05273033013d53336d27db4b39b632e5e09624b18f5e17995862fb09e5f9f9372607afd77f0c9d1bb69df15559bd29899846952f372eefe6554470431f34af41c21386b96192a4502f18d1020f07fbd29d80483c76fe24f2442fdaf5d07b443e4188f7267bf296628c19db02f589511f0771695af2c205bbb357939889d4d8b41c28f238aa83cfb4af7167dcfb97598e25a510e4debfb7ae8e', NULL, '\x0e90762d92fc1872d9df30853862aa9ac6da81e5e785d719509ce0b87a31bd87', 'generated', '{"anyOf":[{"allOf":[{"claim":"sdk-test","equals":true}],"authority":"https://attestation.example"}],"version":"1.0.0"}', 'application/json; charset=utf-8', false, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'disabled', '89f04e2dafa5570da2eb5837266de455', 14, 'EC-HSM', NULL, 'P-256', NULL, '{sign,verify}', false, false, NULL, NULL, 1795874013, 1795874013, '{}', '\x2a6554f6a567e8967f020d85040f127dec6c213e23864ece5f5b6e4c1ce2dd29', '\xb8b1a844f4e5e0163955c778e567ef7787480a19336fb585358aad257b843555', 1, '\x2a516e9fbccc3fbd85da010adbbe8d414ac0486cda2eb19420cf983b35858904c793f8157648333d87b989e4e6783ac8f872193f2c4319242feb4b5a31e7353d542ebb5b7a52a21013f6884882055f3b', NULL, '\x200fd636a925de0cd832c7f912326272ee1ad463e0d674e5e161d163f2352893', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'backed-up', '1d257d1c4f74ac8cc2b6c255332a0871', 15, 'EC-HSM', NULL, 'P-256', NULL, '{sign,verify}', false, true, NULL, NULL, 1795874013, 1795874013, '{}', '\xf4e4a01fc48a32bbbd844d11946d5cca5623975741b15b4f40eecff3493e6017', '\x6c51624eea8e6d212fb7cb2f1fe193cd67341c183f464d205e02d9159ccf6dfc', 1, '\x2a94b79f5ca28a71015a4781cd32938e4416cee936472f7d159f8ab51f112bf0f67559c45b79c3c1199046b87a1d28f7e2ec2ed818910cdaf39161978edcb2717843dcdd37abea6f2b51d25d4d86d2dd', NULL, '\x80bd502bc582b3eb1e701927e8c619e4e2aa54b3c7d99f0f827b74828733e038', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.key_version OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'deleted', '9f1e9493464e0e092367e83a4ae66339', 16, 'oct-HSM', 256, NULL, NULL, '{wrapKey,decrypt,encrypt,unwrapKey,sign,verify}', false, true, NULL, NULL, 1795874014, 1795874014, '{}', NULL, NULL, 1, '\x8564ff45e38e2798f9635b4cd833f5f9f68dc20a68e1e821a0c5eeb80390f0c5d7760e9765f8d4cb', '\x56fe503772626d627a09f9da02f3abb05b9f06ebbf85deb419e248dafc39e87271d1a16faedd1f3813db01f3cffdc3acc5eadc82892ce64eb8f4badb8fda80cb47d0ee7e26d11fd5', '\x33a6198798c978928f7b0ede2b063a3a9f393931dfa906d3394d7b627a485fbd', 'generated', NULL, NULL, NULL, NULL);
INSERT INTO public.pool VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'main', 'ca4eab08-c3cb-4151-9ca5-a8606d665034', '2026-11-28 13:53:15.019543+00', 90, false, 1, '\xf0b0adf0b116f5119b3c1d51419a831854ab8a26d5de95ef38ae2779320ce562', 'sealed', 'hsm', NULL);
INSERT INTO public.role_assignment VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'bb3ce225-31af-4ab2-ad1e-0018c7e70815', '96e7b736-1332-4d15-8840-d8a1f4811622', 'a290e904-7015-4bba-90c8-60543313cdb4', '/', NULL, NULL);
INSERT INTO public.role_assignment VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'fb89c826-3722-4fa5-a2ed-3b50effdbdf4', '96e7b736-1332-4d15-8840-d8a1f4811622', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', '/', NULL, NULL);
INSERT INTO public.role_assignment VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'fb16b280-15ac-4f9e-ba60-7cd9f6217682', '96e7b736-1332-4d15-8840-d8a1f4811622', '21dbd100-6940-42c2-9190-5d6cb909625b', '/', NULL, NULL);
INSERT INTO public.role_assignment VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '2db87e30-eccc-4bd5-afaf-d2486e4ecf96', '130d7e13-4595-4bfe-b2c3-83eac617430b', '1462c6f2-5e51-4dcd-969a-c2241d6dcdf3', '/keys/ec-256', NULL, NULL);
INSERT INTO public.role_assignment VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '799818de-98a9-4972-8762-ae006514587a', 'b9b0b881-726b-4253-80b7-f42761c7dd92', '2c18b078-7c48-4d3a-af88-5a3a1b3f82b3', '/keys/ec-384', NULL, NULL);
INSERT INTO public.role_definition VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Managed HSM Administrator', 'Control over the pool: roles, security domain, backups, settings, the directory and the audit log. No use of keys', 'built-in', '{/}', 0, '[{"dataActions": ["Microsoft.KeyVault/managedHsm/roleAssignments/delete/action", "Microsoft.KeyVault/managedHsm/roleAssignments/read/action", "Microsoft.KeyVault/managedHsm/roleAssignments/write/action", "Microsoft.KeyVault/managedHsm/roleDefinitions/read/action", "Microsoft.KeyVault/managedHsm/roleDefinitions/write/action", "Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action", "Microsoft.KeyVault/managedHsm/securitydomain/download/action", "Microsoft.KeyVault/managedHsm/securitydomain/download/read", "Microsoft.KeyVault/managedHsm/securitydomain/upload/action", "Microsoft.KeyVault/managedHsm/securitydomain/upload/read", "Microsoft.KeyVault/managedHsm/securitydomain/transferkey/read", "Microsoft.KeyVault/managedHsm/backup/start/action", "Microsoft.KeyVault/managedHsm/restore/start/action", "Microsoft.KeyVault/managedHsm/backup/status/action", "Microsoft.KeyVault/managedHsm/restore/status/action", "Microsoft.KeyVault/managedHsm/settings/read/action", "Microsoft.KeyVault/managedHsm/settings/write/action", "Strongroom/audit/read/action", "Strongroom/directory/read/action", "Strongroom/directory/write/action", "Strongroom/access/explain/action"], "notDataActions": []}]');
INSERT INTO public.role_definition VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Managed HSM Crypto Officer', 'Deletes, recovers and purges keys, and manages roles. No use of keys', 'built-in', '{/}', 1, '[{"dataActions": ["Microsoft.KeyVault/managedHsm/roleAssignments/delete/action", "Microsoft.KeyVault/managedHsm/roleAssignments/read/action", "Microsoft.KeyVault/managedHsm/roleAssignments/write/action", "Microsoft.KeyVault/managedHsm/roleDefinitions/read/action", "Microsoft.KeyVault/managedHsm/roleDefinitions/write/action", "Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action", "Microsoft.KeyVault/managedHsm/keys/delete", "Microsoft.KeyVault/managedHsm/keys/deletedKeys/read/action", "Microsoft.KeyVault/managedHsm/keys/deletedKeys/delete", "Microsoft.KeyVault/managedHsm/keys/deletedKeys/recover/action", "Microsoft.KeyVault/managedHsm/keys/export/action"], "notDataActions": []}]');
INSERT INTO public.role_definition VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Managed HSM Crypto User', 'Creates and uses keys, but cannot delete them', 'built-in', '{/}', 2, '[{"dataActions": ["Microsoft.KeyVault/managedHsm/roleDefinitions/read/action", "Microsoft.KeyVault/managedHsm/roleAssignments/read/action", "Microsoft.KeyVault/managedHsm/keys/read/action", "Microsoft.KeyVault/managedHsm/keys/write/action", "Microsoft.KeyVault/managedHsm/keys/create", "Microsoft.KeyVault/managedHsm/keys/rotate/action", "Microsoft.KeyVault/managedHsm/keys/import/action", "Microsoft.KeyVault/managedHsm/keys/release/action", "Microsoft.KeyVault/managedHsm/keys/backup/action", "Microsoft.KeyVault/managedHsm/keys/restore/action", "Microsoft.KeyVault/managedHsm/keys/encrypt/action", "Microsoft.KeyVault/managedHsm/keys/decrypt/action", "Microsoft.KeyVault/managedHsm/keys/wrap/action", "Microsoft.KeyVault/managedHsm/keys/unwrap/action", "Microsoft.KeyVault/managedHsm/keys/sign/action", "Microsoft.KeyVault/managedHsm/keys/verify/action", "Microsoft.KeyVault/managedHsm/keys/derive/action", "Microsoft.KeyVault/managedHsm/rng/action"], "notDataActions": []}]');
INSERT INTO public.role_definition VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bd23610-cdcf-4971-bdee-bdc562cc28e4', 'Managed HSM Policy Administrator', 'Makes and removes role definitions and role assignments', 'built-in', '{/}', 3, '[{"dataActions": ["Microsoft.KeyVault/managedHsm/roleDefinitions/read/action", "Microsoft.KeyVault/managedHsm/roleDefinitions/write/action", "Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action", "Microsoft.KeyVault/managedHsm/roleAssignments/read/action", "Microsoft.KeyVault/managedHsm/roleAssignments/write/action", "Microsoft.KeyVault/managedHsm/roleAssignments/delete/action"], "notDataActions": []}]');
INSERT INTO public.role_definition VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '2c18b078-7c48-4d3a-af88-5a3a1b3f82b3', 'Managed HSM Crypto Auditor', 'Reads the attributes of keys and deleted keys, the roles and the audit log', 'built-in', '{/}', 4, '[{"dataActions": ["Microsoft.KeyVault/managedHsm/roleAssignments/read/action", "Microsoft.KeyVault/managedHsm/roleDefinitions/read/action", "Microsoft.KeyVault/managedHsm/keys/read/action", "Microsoft.KeyVault/managedHsm/keys/deletedKeys/read/action", "Strongroom/audit/read/action"], "notDataActions": []}]');
INSERT INTO public.role_definition VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '33413926-3206-4cdd-b39a-83574fe37a17', 'Managed HSM Crypto Service Encryption User', 'Reads the attributes of keys, and wraps and unwraps with them: for services that encrypt', 'built-in', '{/}', 5, '[{"dataActions": ["Microsoft.KeyVault/managedHsm/keys/read/action", "Microsoft.KeyVault/managedHsm/keys/wrap/action", "Microsoft.KeyVault/managedHsm/keys/unwrap/action"], "notDataActions": []}]');
INSERT INTO public.role_definition VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625c', 'Managed HSM Crypto Service Release User', 'Releases keys to attested environments', 'built-in', '{/}', 6, '[{"dataActions": ["Microsoft.KeyVault/managedHsm/keys/release/action"], "notDataActions": []}]');
INSERT INTO public.role_definition VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8', 'Managed HSM Backup User', 'Backs up the pool and single keys', 'built-in', '{/}', 7, '[{"dataActions": ["Microsoft.KeyVault/managedHsm/backup/start/action", "Microsoft.KeyVault/managedHsm/backup/status/action", "Microsoft.KeyVault/managedHsm/keys/backup/action"], "notDataActions": []}]');
INSERT INTO public.role_definition VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '6efe6056-5259-49d2-8b3d-d3d73544b20b', 'Managed HSM Restore', 'Restores the pool and single keys', 'built-in', '{/}', 8, '[{"dataActions": ["Microsoft.KeyVault/managedHsm/keys/restore/action", "Microsoft.KeyVault/managedHsm/restore/start/action", "Microsoft.KeyVault/managedHsm/restore/status/action"], "notDataActions": []}]');
INSERT INTO public.role_definition VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '1462c6f2-5e51-4dcd-969a-c2241d6dcdf3', 'signs alone', 'for the upgrade', 'custom', '{/}', 0, '[{"dataActions": ["Microsoft.KeyVault/managedHsm/keys/sign/action"], "notDataActions": []}]');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/roleAssignments/delete/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/roleAssignments/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/roleAssignments/write/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/roleDefinitions/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/roleDefinitions/write/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/securitydomain/download/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/securitydomain/download/read');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/securitydomain/upload/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/securitydomain/upload/read');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/securitydomain/transferkey/read');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/backup/start/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/restore/start/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/backup/status/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/restore/status/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/settings/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Microsoft.KeyVault/managedHsm/settings/write/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Strongroom/audit/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Strongroom/directory/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Strongroom/directory/write/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'a290e904-7015-4bba-90c8-60543313cdb4', 'Strongroom/access/explain/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Microsoft.KeyVault/managedHsm/roleAssignments/delete/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Microsoft.KeyVault/managedHsm/roleAssignments/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Microsoft.KeyVault/managedHsm/roleAssignments/write/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Microsoft.KeyVault/managedHsm/roleDefinitions/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Microsoft.KeyVault/managedHsm/roleDefinitions/write/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Microsoft.KeyVault/managedHsm/keys/delete');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Microsoft.KeyVault/managedHsm/keys/deletedKeys/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Microsoft.KeyVault/managedHsm/keys/deletedKeys/delete');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Microsoft.KeyVault/managedHsm/keys/deletedKeys/recover/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', 'Microsoft.KeyVault/managedHsm/keys/export/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/roleDefinitions/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/roleAssignments/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/write/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/create');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/rotate/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/import/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/release/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/backup/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/restore/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/encrypt/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/decrypt/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/wrap/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/unwrap/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/sign/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/verify/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/keys/derive/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625b', 'Microsoft.KeyVault/managedHsm/rng/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bd23610-cdcf-4971-bdee-bdc562cc28e4', 'Microsoft.KeyVault/managedHsm/roleDefinitions/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bd23610-cdcf-4971-bdee-bdc562cc28e4', 'Microsoft.KeyVault/managedHsm/roleDefinitions/write/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bd23610-cdcf-4971-bdee-bdc562cc28e4', 'Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bd23610-cdcf-4971-bdee-bdc562cc28e4', 'Microsoft.KeyVault/managedHsm/roleAssignments/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bd23610-cdcf-4971-bdee-bdc562cc28e4', 'Microsoft.KeyVault/managedHsm/roleAssignments/write/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '4bd23610-cdcf-4971-bdee-bdc562cc28e4', 'Microsoft.KeyVault/managedHsm/roleAssignments/delete/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '2c18b078-7c48-4d3a-af88-5a3a1b3f82b3', 'Microsoft.KeyVault/managedHsm/roleAssignments/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '2c18b078-7c48-4d3a-af88-5a3a1b3f82b3', 'Microsoft.KeyVault/managedHsm/roleDefinitions/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '2c18b078-7c48-4d3a-af88-5a3a1b3f82b3', 'Microsoft.KeyVault/managedHsm/keys/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '2c18b078-7c48-4d3a-af88-5a3a1b3f82b3', 'Microsoft.KeyVault/managedHsm/keys/deletedKeys/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '2c18b078-7c48-4d3a-af88-5a3a1b3f82b3', 'Strongroom/audit/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '33413926-3206-4cdd-b39a-83574fe37a17', 'Microsoft.KeyVault/managedHsm/keys/read/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '33413926-3206-4cdd-b39a-83574fe37a17', 'Microsoft.KeyVault/managedHsm/keys/wrap/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '33413926-3206-4cdd-b39a-83574fe37a17', 'Microsoft.KeyVault/managedHsm/keys/unwrap/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '21dbd100-6940-42c2-9190-5d6cb909625c', 'Microsoft.KeyVault/managedHsm/keys/release/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8', 'Microsoft.KeyVault/managedHsm/backup/start/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8', 'Microsoft.KeyVault/managedHsm/backup/status/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8', 'Microsoft.KeyVault/managedHsm/keys/backup/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '6efe6056-5259-49d2-8b3d-d3d73544b20b', 'Microsoft.KeyVault/managedHsm/keys/restore/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '6efe6056-5259-49d2-8b3d-d3d73544b20b', 'Microsoft.KeyVault/managedHsm/restore/start/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '6efe6056-5259-49d2-8b3d-d3d73544b20b', 'Microsoft.KeyVault/managedHsm/restore/status/action');
INSERT INTO public.role_permission VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '1462c6f2-5e51-4dcd-969a-c2241d6dcdf3', 'Microsoft.KeyVault/managedHsm/keys/sign/action');
INSERT INTO public.root_generation VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 1, '\xf0b0adf0b116f5119b3c1d51419a831854ab8a26d5de95ef38ae2779320ce562', '2026-11-28 13:53:15.019543+00', false, false);
INSERT INTO public.rotation_policy VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'rsa-2048', '[{"time": "P10Y", "type": "Rotate", "trigger": "timeAfterCreate"}]', 'P20Y', 1795874012, 1795874012, 2111493205, NULL, NULL, NULL, 0);
INSERT INTO public.schema_migration VALUES ('0001_keys.sql', '2c9b4a4ce51175ccbf3e45d4e25559849ee2b1ff364bc5a6338195a9ecaeb95d', '2026-11-28 13:53:10.498653+00');
INSERT INTO public.schema_migration VALUES ('0002_roles.sql', '1a4dc4df8c1913b061cb44a225ed7ff032ffe9dc9c04032487fcb64332249eb4', '2026-11-28 13:53:10.678054+00');
INSERT INTO public.schema_migration VALUES ('0003_directory.sql', '8a274048e69d4d05b7cb75a0741455bc7ac195761047d0e9914bfb0eb338ffc7', '2026-11-28 13:53:10.730528+00');
INSERT INTO public.schema_migration VALUES ('0004_audit.sql', 'b51d5639a83210f506c4d6ee2f61a5fd00ca5152e28b363cab7cdc2a13a5b856', '2026-11-28 13:53:10.821173+00');
INSERT INTO public.schema_migration VALUES ('0005_grants.sql', '71483d5afa82cabaf10f0d6a4f7dcd53a5f171ae8b12c8e32a21a2ed4f32dac6', '2026-11-28 13:53:10.914305+00');
INSERT INTO public.schema_migration VALUES ('0010_key_origin.sql', '383508ed397133bea47f426a0478ba3a063f2bea724c2bde44cb3bc69e2c9ea2', '2026-11-28 13:53:10.934708+00');
INSERT INTO public.schema_migration VALUES ('0011_rotation.sql', '35c01ab3cc5121946dd20e4a8b6733d15557e3a48d0f1df3073486a2b219c843', '2026-11-28 13:53:10.946973+00');
INSERT INTO public.schema_migration VALUES ('0012_settings.sql', 'ae632cb0f80f0ae934ec4856e53c62510b9b69c82c4c9c2ee3d7ee673db6e5c5', '2026-11-28 13:53:11.007873+00');
INSERT INTO public.schema_migration VALUES ('0015_release.sql', '6bf343d39136aa3b9f71acc4bcdf576f125349de272280d43ba671b60a0033e4', '2026-11-28 13:53:11.057863+00');
INSERT INTO public.schema_migration VALUES ('0020_role_definitions.sql', '04f5458209a810898d81ca2688bae1a0d57d7d65cdb7b5e80b6ba1b345c08475', '2026-11-28 13:53:11.098239+00');
INSERT INTO public.schema_migration VALUES ('0040_directory.sql', '946b42671c1f9932bb68ee5f3de576d64fdf96f57b7fd4af6e2c3383290f5a30', '2026-11-28 13:53:11.119369+00');
INSERT INTO public.schema_migration VALUES ('0060_audit_chain.sql', 'f7a060f1376da115f2457939b1333828df743f8a6ceb1754d42366fdb3e92433', '2026-11-28 13:53:11.238478+00');
INSERT INTO public.schema_migration VALUES ('0061_audit_usage.sql', '7c4956d8d437a2ffa88271d9a44e76b826ba21a8df249d66a93ede3944630f16', '2026-11-28 13:53:11.487829+00');
INSERT INTO public.schema_migration VALUES ('0063_signing_key_rotation.sql', 'ea284eac2fc35d29f920f06fe309f47eeb6e1471030f75f525fcf921d65798eb', '2026-11-28 13:53:11.546439+00');
INSERT INTO public.schema_migration VALUES ('0066_mail_nicknames.sql', '80c3c96cbcb0dfb6b79ae515cebbd8bec4c5d5561ec10b46404f0a87f00bd696', '2026-11-28 13:53:11.602139+00');
INSERT INTO public.schema_migration VALUES ('0066_principal_case.sql', '42b437e50e57d764044a7ee30495c31730f3125e06e73f295b15cf28c75410bc', '2026-11-28 13:53:11.617027+00');
INSERT INTO public.schema_migration VALUES ('0068_audit_without_case.sql', '83243ae70a280280360158bf0962ffdfe52fff17994d26c3b5edf57964cd22c8', '2026-11-28 13:53:11.647476+00');
INSERT INTO public.schema_migration VALUES ('0070_witness.sql', '5482e0bf9c178edd4ca228e78b834c9856521cb31071c79c7269b7cae184332a', '2026-11-28 13:53:11.734373+00');
INSERT INTO public.schema_migration VALUES ('0071_federated_use.sql', '78b3fd7b63960c95a03b765046cce5f622f2c08a41151b149a938545074d8791', '2026-11-28 13:53:11.835847+00');
INSERT INTO public.schema_migration VALUES ('0075_keys_without_mac_secret.sql', 'd302c8d29cf7119cbe00ff7e9d60755a4dc39a60627af0da8d1e31d19800372e', '2026-11-28 13:53:11.86146+00');
INSERT INTO public.schema_migration VALUES ('0076_resident_keys.sql', 'bb469ddb602293bae3fd738fa44d8c4abbc6ed9d015793fe1d19167f76a1de2f', '2026-11-28 13:53:11.868852+00');
INSERT INTO public.schema_migration VALUES ('0077_ml_dsa.sql', 'cf499f8eb26a1d56202a4f6c52c437622e799f93d73a34b0ebcab8a393c559e7', '2026-11-28 13:53:11.945434+00');
INSERT INTO public.schema_migration VALUES ('0078_root_generations.sql', '709607ee0008ff68b165b2cb428607761490f2568bd13366a529fd5430c0bc9e', '2026-11-28 13:53:11.960777+00');
INSERT INTO public.schema_migration VALUES ('0079_absent_objects.sql', '80812c43bff97cdf49cb4eb36920e8d45f732e935e4a7857a89094d93b3ec984', '2026-11-28 13:53:12.033476+00');
INSERT INTO public.schema_migration VALUES ('0080_security_domain.sql', '9e7f28c5c6968f7e451fc9acf9ed667c017e4b840b42ee436ed0249f4384c5b1', '2026-11-28 13:53:12.046846+00');
INSERT INTO public.schema_migration VALUES ('0081_full_restore.sql', '1d6fdbc2aee82c9e5150e6a303c818be85de24cc2a4339a4d0f6886aab7faac3', '2026-11-28 13:53:12.135934+00');
INSERT INTO public.schema_migration VALUES ('0082_upload_proof.sql', 'dd4ce9865c75e9b226d7af167bbd65353cea67b076939218f29db76152f6d45c', '2026-11-28 13:53:12.145815+00');
INSERT INTO public.schema_migration VALUES ('0083_recovery_jobs.sql', '463a70225c1f4253bfdbfcaf16b86235ec8879edffd242f03ed4c6eb343ff112', '2026-11-28 13:53:12.153318+00');
INSERT INTO public.service_principal VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '96e7b736-1332-4d15-8840-d8a1f4811622', '2b45fff8-c410-4f30-a0f5-3a17f9f3e78c', 'Bootstrap administrator', true);
INSERT INTO public.service_principal VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'b9b0b881-726b-4253-80b7-f42761c7dd92', '74fbdfde-aa3b-42cc-a899-4e18bb8c31e3', 'reader', true);
INSERT INTO public.signing_key OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', '871788f7f14b6bb199d42e84cc45e53c', 1, 'directory-signing', 2048, 65537, '{sign,verify}', '\xd18dc34993c52d83b7040307ea349dd5e0c86e32ab48d4236520aadac26c4590774300b61bb274abb831f7a55ed95567ff4abb4bcc2e4d5cec39808a8d83ffddce6bbf43eae3ea3b212a60c424475655524ab96aef2d0541c3f08ed5dc25f2de3cf655d62828e8bd687efc9e44b02fb71c9a28624437d749f517e8cdd1056fdbd0050a65889ceaf5eeca61768ad6ba2f50afdbfdb20ae0d921c734e12cfa23ff1e68f3068e1b9eeb52e01fce702810f4205ce57dee000dd2f2694335a96c6f41616735354f98dcce82b96e95ec1084805f39251395fd9015aef30d393c2af2921e23d475bf1c03db8035e882914728fdcd6ceac66d7c44fc1e770cdbf2b20087', '\x010001', 1, '\xe26ff2716c50f624414e5ead333b8eb2bf0a131043bfb98ab44a7548cc87da55363c55bca3b3ae1a8c859b441c7ce038caa0b395eab3e3e3795fa3fecd800ed6e52df0c9d9fb3671bc94e8babce88ccfc78899f17f195e9b6f3cdc72d3539db57f3cf9a25fbf43068a93474e33ffd05e1691143443020e1d16ce6c076f117ab8822169e0c217329c7af3973b1a7749ae03e7a8ea624ac5215336e259627ea25b34dbd74bc2f6a792d405216c405f78b9f68dc428ab13daf8aa6a46325e50ee6df76d25bfacca62627a7f47f3e19cc0ac9b211bc24200f5298a8d4d5ce590eed962ab5d1505029b171a0ae30855b7a460a7ab45465f6cc1865869bab6af30b5ee28a2af1b813447fdad3522277d184875afa40d722d87561f34232d16c89ca6d74cae466b41b6023fe59ef1f2cf97d038c3d5810e8d21a02bef36657d55d7012e84586186ce23982dd6780059638133b9b2ac433b6a6d1660a0b37715a5ae8ef87b6d206bf4cb00b9cf213e7f43f93956d316d8a9791704e9ee9051dcb32c5c8b526cee95ea121ca1567a56517874751e8c0bf5473d346cd177860e2f3ffe7c209b4a16dec89159461d614826869a8975af76cb6475fa1e8aaf53838fda2abc22a30a096fec1652cff8db604c10ce12cc1ce1d68faa66b7d45578c6306e8e0bb2c3c71fbaaa7cbcba9f5ef9c4d7dc075eca978897fb8cde6cf685904f468d280e532b56143dbcbbf6ece6b9986f9c314bd72fb01d0995731e29177599669b6e1f4e6eee52aadfdbef69e353c0f05409d823ccc05b0b02fb957d5d3213e7017c4d8485dfe798cba84af825b617068d2f8b68e584555fede027aef9f0cc5f19e7d01873af96caf8ae57008a7bb869191c6ba244472396dc07fea14ea825ab8163d7effe9b5528f49f5c6e72488191074c50f1d106ce0e8c333e6cbf70f56d0f1027aedd05e4e70838faa5e0add7cce2b85f1c24088584440debe55943f79ec3d054ca7520ae038917e2de81ecf8e68b1cbf0d0f0b73e38a923850af13abdc8e2612d43fc0c1942eae00bee3682ddb033bd6002bf4f676e1d952e25828927379915e3d7c29978c46172740c220c661616f48201731f741ea3f076ce5065bea9a703609e2c4afb662ed8bdb5f1d6d28c88b3613979467a54ed5bc0a3a9ee3b97d7dd0538bf71744226dcec9c16f8fdcf01855b44e0ea269e51580fb82d593d9c35c2a1b77b69e8a715c324f4d7a78e6c9e52f0c4f125e9e7cca2090ee9b0def5ba5691294f179ca0e35d6225eaef9ed2deb1f3a1d5940114ad9230ef5f40cc915db6885b534f70c0499420440d936d2f83bce69da0df0a07672a850095d0725362067a933dbcdfeed47ab281287dc4b8348dbea0f322a7eee8a1354817a32c29805c2bba47108be99107fa15e57ddca7f73760b5c8ca5aa91730ef048c18df045e5e4e96efc328984f5f872bff272853ef271b562a5ca55d25e1038c44d5e2d8a54caac79ca5ec2deabb23cda2664b0b9814b4c7af83d2b2ee1f233d4142a78f6d1458fdc2d62d13bf86ec0f0553890fd4b83be4523cfc407fbf946c8352a22b37406f0d990f71775bf08033945f22b4f05e463148cfe4e2bae5b59a24dd6f5e299343e0e76dddee72d5409561f491838870e6ce8f22e364faca148a76e90fb5bbd34c21d12e8077878a905f2d0def43204425c7d52423a826917580a67ba145608a9d0e73d6820313249', '\x4e2be4538af03972224b33b3f92b11f9413be0746bec7774481c8ceba13f5f4c', '2026-11-28 13:53:15.965+00', NULL);
INSERT INTO public.statement_key OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'root', '57db45f53c02c44738cde4bb072710d5', 1, 3072, 65537, '\xa4eba0f8a1ab3cff54b23307581cab46e7d99adf40b3bef36b605a7309ab16ec5680a20dd6d6d08f1f1b900bf1b28b9bb34d3f5e3acde5e8a3bf3142b207c48d6ce22701ed906ee003849b73eeafb4cfe157695e31b904ff0a700cc47c410e8bd80d5a37ca776effd422e9e412f5e6783591b0ad21857db9b1d96118e2471f9abe017f4f169e509860fcec41c3203c553bf4be1d30fb31cc77e709971a9ccee8a3e6c9d087dc000659eb011bb9451215509e1cdc6b91c4540f7d5d382aeb07b1b4ff3bcc4c4e97cf6628e9065738693b1820fd32aac994c04be6be01836cf042a7d23f3d85244040cf0348578906ba1ae2e0cc12fe5740190c55e58ef8a0492c4242a354b30f5f285400f858220e112dde26b75dab46d0db48453d6d26b074c20df625e81e543942d9b797acff20c1151f1a552eb98568a9bafea772656f213faacbdfa152a397fb9dc9a39211a6dfc0f8f7cdc30694dcea76e32b2b17a8bad64fdd3f0c41df0778ce8ecdf326dcc0a435f8317f24079a568b7a46528072fe3b', '\x010001', 1, '\xd2d2ad2771b60c879bbcf8d210796c9f1b6bb6e4edd158ab458c59cc5023917963a5580bc569ea85b4b3b3fabce8981f09ecde75136dade3244d18bad4a7f852fc6ad30175238f50e4457a3c37dc81271f742b8274f9d6ad082afbd44f24ab353f4f23cefac6ef50f82dc183a7ee7033c3ac5fa6bb3479599bbf26e6e5f7bf2114386e9941b81a9fc3620cab75583882db5cac1753bc48cb189e47baf34e64720c968ccad567fdb111563830cc6fef7ed8e54652ec6d18e6b2450bc8ecfff4b9472ea0be91d8fd47ff6b2eee02d7e8f639a6359108eaaf9a6374ed46733c407b0e76d9a1474246388c9efb73e60e85e13efdc8296b085c419894f1bc6a2d0de443ed0282709e5a577dbe66bde90ac0f50883ba2d1280823807740dc9fcb61e8a04ec7ecbfabdc4dd2127e760ac9318ea04a9581c53bce828eced53f5ad1448dea89d36b47f9e606bcd94532ec273d38075af1ab2bd5b733f7081162530134a2f0c3fd73c0942abf7225eb547fccf0d482301a3995f3d15e0c4dd74124991a417438f9fcece5e46c51f0e5164ef8c17168401c2b1cafc69f54f6a2007cd0758410e4d141c5acd7c7a2b187e9f4d012a1e555606ce00caeafee4ed3971c94e8d31403cc40343cf8cb0ad2c262e18a50487ddf89565ed8a2a921fe8c1cd5e1927e88194a8e68fdea8aca89585273f72c1806b0f5b9abbc641b4315e17273b5d1ae1a8d5e66b3cbe4f66023065a03911ed4b2ab245980c2fc430c8ae33de291d9376b966c09cce11b135f50be21569c8921b9a76e218b091e2ea7ace37734b7d7a2513169e44a1a702f29a206fc05b37f8700918e59de52c4f3103027c1a8fae79c44655c47dd4cdd344e013105eb95b8af6f363b73e34803c99efa52f6512fc9968a0f7e2145c865a8ffad51dbe68de0b55da400cc47ea015ef9116a395506f2bc17cf2570764a640450d75045b8e2755f268f7f53ba56aea3dcfe26cb305d2ff67253eb0f3a47dafee3ef4931b389103becda3e679cd0df5ce6d7f75bcd8a0628c7d83c3b043dfbcd2ceaca1ef79cb5471a01fc18cdaa8e87d45d9d68cb5d96471dec91b86ea7d2f393d11a2df65a9baf9b0ea8ea552dd1ee417d20da3fbf05d6e83987c8007f067071d12b7c2b7707ef556d664fce8048b26ac290e462878b49d972f9066844ab410727ba86c35221d521e681f5b8e4e71d00ca27864b61f24fa6925d309e95998407395875fa896585633533836ec6d89d385e08530e27f60a802a610b13eaf572b2a938b28d515a66af0b6a65c1e6b1a97c6e1ccd71cadb93bc08604966c5d874579a8e20b4cc768e39fbf27b77d5c6c7692f5c7012125f94f52d07c99cba3495fe5a717762e6dbde352f28a8711fcd103fea37d9966cf1e9cf54ab49c57c139bc80dc96b8cd6118fbac0aeaa55cb0d03165d3e6b866135dca63105e3bf10d1a67a4a2b874655e772829f8a587c633d8bbbbf6d1a73006d4f1ee73df87e2466f0ce5684237bf89a69f74539d820c4d676199e2b18214a41ae06cccaaef1cba94c58369a40dc91af61451da8690dc09f7f36d0817d8e0198ea77009e96f0c71fca76d7135570cbf362e7edde98f0e447e2b58bd0f1dfff144d8a83bfbfb82c8b72c09a740e46f43ce467f6b420a4df5a664f14164703b608dad809f0b0e7c20fe06b0c9ac5d85e68e0333c660a3d64a03f8f9673c9a23ca0e0a58118b0d0a22f44484370793c03df9292903ee201440e68cfbf43bc40114141af36d847244ec533203dccfecda3a1d16b72b1cd96620538738565780f76266666cf771fe4a333f7a192499f1da6447fe011f7eda44126454a106dc7e0ae7f7c66bcf5c6ca68e5f1fb5813f730459afd54ec8fbaeb337ffea92308577b9c19ff10b891f58ed8e973665075d0ec9ec7b37a1734e8077f05c60cf432bc69572fe4fedcc1a51f2078a9af566c2840dfa878d47e3cdf06336d44cc5d66725d9b2124d482c0c1a238087d2a6ad284f610d141dde893e66037062a03050bfce1438dd090aef25f5dd7e52678aa95056a6169aad122b376b709a50ffab39900deb97dd729a2dfcfe594cb4df3f92d283e445b93d78b17f3d245473b5e1c8bb4ef2fe7f7a5ebdd1c27e56c8c7096895ce7d7892e07258abb61d4a499e9c3a7778c6fbc38372983e4dd6483201dd49e4a91aaa773ed26a1d1ff5381afc007d2079122fd2a367a29cbdf64600f29bcf2ca94e18987fe613ce1884433db2021bb9a3ceec3cc2a287398b0ead7415ecff8d997502317bf3280b598b5abc1949705af7089b019035f5127706542199f54f63fcc70deef1c2b2d9d1cb288bccb71f9a08544e4ee194f1e2974367b5b73a774bd3c2d492058dd93b20d1ba05cbd5e22982771d7893192c5ab8fc9e6823fc2bd5990548743c01fbf4be596c410f5b5595bf3fbf3c79f20ce9f9711d271e97308968bc0c8fe46cb61c5b0e3c3c349996b8c6f8f2c326fb98f955c63bb7e0911164fb3b217c3fda39cec4aa05d7463b40c68fedbf005f7be2dfe7e80c172f', '\xe4ea8a8b6457b986e17321ad0f60d791016686815f4234475ce1281abc0cc61c', '\x308204b73082031fa003020102021079a796f81480f1f37c316cd07844b834300d06092a864886f70d01010b0500307431133011060355040a130a5374726f6e67726f6f6d312d302b060355040b132438653732613363342d663239322d346263312d386237642d366435313564393134366665312e302c060355040313255374726f6e67726f6f6d20706f6f6c206d61696e206174746573746174696f6e20726f6f74301e170d3236313132383132353331375a170d3436313132333132353331375a307431133011060355040a130a5374726f6e67726f6f6d312d302b060355040b132438653732613363342d663239322d346263312d386237642d366435313564393134366665312e302c060355040313255374726f6e67726f6f6d20706f6f6c206d61696e206174746573746174696f6e20726f6f74308201a2300d06092a864886f70d01010105000382018f003082018a0282018100a4eba0f8a1ab3cff54b23307581cab46e7d99adf40b3bef36b605a7309ab16ec5680a20dd6d6d08f1f1b900bf1b28b9bb34d3f5e3acde5e8a3bf3142b207c48d6ce22701ed906ee003849b73eeafb4cfe157695e31b904ff0a700cc47c410e8bd80d5a37ca776effd422e9e412f5e6783591b0ad21857db9b1d96118e2471f9abe017f4f169e509860fcec41c3203c553bf4be1d30fb31cc77e709971a9ccee8a3e6c9d087dc000659eb011bb9451215509e1cdc6b91c4540f7d5d382aeb07b1b4ff3bcc4c4e97cf6628e9065738693b1820fd32aac994c04be6be01836cf042a7d23f3d85244040cf0348578906ba1ae2e0cc12fe5740190c55e58ef8a0492c4242a354b30f5f285400f858220e112dde26b75dab46d0db48453d6d26b074c20df625e81e543942d9b797acff20c1151f1a552eb98568a9bafea772656f213faacbdfa152a397fb9dc9a39211a6dfc0f8f7cdc30694dcea76e32b2b17a8bad64fdd3f0c41df0778ce8ecdf326dcc0a435f8317f24079a568b7a46528072fe3b0203010001a345304330120603551d130101ff040830060101ff020100300e0603551d0f0101ff040403020106301d0603551d0e0416041468f520564debd80817b6f72917e3fd84d2e7b592300d06092a864886f70d01010b050003820181009a4b6b7ceb58f7491c0aee6d78d441a0e67b4279e20d9de2b23be1e3c42f8e9ff155860cb5305ca8bc73f4a9a2aed3edaeb961dd4a76b076cea9597568de8a24c8615e4f5dacea521c2e4d3e4cc953181e543473b3e17e7a6515f89af25e01f70201b6c91c23e46e365a742f8f127fa3842469196971b9e7fa3b10e4dc907daf248b7a17cef22db0f6af7e77625ed0bc84aa604f7a760c5d7b31ad31f47c86149c49422cbf98b1f4f5a4dd14178c76ba2dd41482f05618f1080e35428e4368e9d69f4ec0d22cea11caa7dc23afd31f38de5e1b6ef2dd4993f0f016ca28546865bb218b279a6019dc637f15b4fc9a7fa881367374be437f2773b71d7dc8e6871fe6c2048f61c43640a19ab9fd0f7ab93bd3e065ffa80765190baf47f42d5c031b8f50088a61715b9fd925692905242f157eff65bf79ebac4f449215f77820791d7bc7930e36e07010672ce1ad45d09bb92c7304473b806a8b749703a236196c0e327df8b7734479176f228fa33ce0a0163f58394242bb48ff9e4348162cd0990b');
INSERT INTO public.statement_key OVERRIDING SYSTEM VALUE VALUES ('8e72a3c4-f292-4bc1-8b7d-6d515d9146fe', 'audit', '09e6308e2ec0140281bb5201804fdc2e', 2, 2048, 65537, '\xaa91fd4e9b57f34814339e2312e67f48640177b2c74f13d5587ca64edd3fa04454ff61282b62b70fb8b9bd0b8c35ca7e06d572cbbcb1ea8f10468a39e4c3d154ab920845c8226f7a791573aae81765db00874ef8e55b5301ff90cd42fd9ecf6da5abe894e650fb639687efb18a281188b60b5b6eda6635f2b44ca7dce80bdd8d706363b4465e14be456fc061da5ce1b3b5f845d2d7e00571470ec9df56015a242819cef375d37c404e3f246ebc1ee98b1efff84072bfff54ae8690f92392356bb2a0948cf7ad31a2bd4b27abc718d66aac68adee4c30189bb9339939bf2695fd1124a8e36d7de05eaceaa074125ab59955a74a55c1265833ec164a701604e0ff', '\x010001', 1, '\x3920749ec4bd3ad4ebb21f7f98004dedddb2b3cf3a4a985f0c8b0765202dde0cf9a8c1c9c0d8f24d425f6f0957802ce1ac6480df48a99e283353f1a7e55863d448f13d65eb40fef54797bf79485a3d49f778b66a2a6c18a6c5d32ef2de5eeada6d9eed1a5fa3bb79856017bf1d7feeabdab21412edf71a1c3ea2e91a742114ddd863c44a2eb500692532440985a7a6309a608e443403beffed0502c4313c4e7038650f23fdfdd62e5ad09e3d1e43cee9bad521013c2d07b1a434820bbd8ec936f1ef074deab8a3f43f50c2c57390c273b54ad4348f8c7de76d971b551336fd73743956b83c36ce81c8e8da6d4c792900c894bde4a971ed518286d1e6a1a4b43beee82d96025d65b2adc9b4f937f3686f4850a8a112f31d1f962b37a26c612c4ab6d614bb8fc248783501842f3c32ebd94787828ac7ce49a3f410e5763750398396b6ae1a0183bbc9c5194972cb42bc771238363086ad8c4d2800c0ee02940feb46a392fe1a25ec2108f74577f70d288cb04a0051d52a21afefb85a6ee14d9e9a03a9f0b4a8bda9f70facf49ffa2296585155b1d45468eb84283fc9b48f5e37762ecb9ab65d3ce1c06c3dc9b94f748aaac7cce6e0b327e5142189aa99cbd7039d2960e9762e921cf739621fb3e4c621c06a39120937410d663664e444007a3f1c217a47e2a4cd53635fc68681ef4b7c5a7e6d9ac5191512bcbdbd8eadf1c4d40250355968c64795361b1648b9b7f68816edeeeaec6a712658a5776ac59cef1f38248a0c5203e83511bc27f49f3eeee2477c02e8046934ce3831d1b511d1cf00ab1945a1ddf25cc1421c0efb74813577dd40d109d893fb2f6025b574e33c60855b6b1426fb5a922c2726011ac05db302fe7dd96df28d9423f5fb820b2fc36eb697f1d1390e50872538f3635f0895b22623518d2be41fadd2e425784e239f0231c3c30be117e709055ec99aaf6e921994a116130cc39b3d88ff2e780245ed4102ab32857ea89d23abf4d4e08e09c3b97a25ee8d005626fffa6b6adbadd3f7a8c8bbbb77ff451b926bc445b3cc23356bfbab6ec1f7b0f90507733cc0a054373f957699fff02c42792d9e8d5a2cda481f435fc532680d5eb2bd06d226571bfd7387b266b85306c104abffbf76bb46ff1813601d2a49649f18ec21d7530274e00bba6411e282bd9c6d0026704f7c99573b30c9c404bbf4ca662bbbc4420b53c9d5542cec51263be18722c8232a44dd7b71570e2824541416b47534a5f6230b6fb371419510ac0967e2c1028ef8f80b75e17787fd5c36c292bf3bea6ea2d539c4ead86e5acbbb53022f455b0009f438c86d0f9092a12d1a0db3b523e6c20ed2f08a010dcea4fe42a3f1a522b97ccfc0bc438bcbd49b388ddb5536f9897453b7d10ed1d88e20180546e4c8930b0b04d9a518c63427b968e807313d20bf5f3f154161aea8a62e7fc99b62f86eed8172eedd2d8aa2d19d30cbdc427459191052e9f834273d2283f7589a75e1b82a4751a3da0888c453d36ba0737675141976ead9140c3fbb6747e4cd31f4a75747abc9db9dc27b3140350843e85aacf0247d3a94a0d5b903584ed4ddfa6802dee02131f9583c445fc535bc5720a1252ee37033bea183553413eed40d2dd73e72dcef493767047ccf6d4073a363a867a74503ff3759bc93f2c6d1e07df5b94c95082ee0e47a8527f5aa1807db33bec654001df2f9ddb3742a750ca84dd9ea243276d9e3b2f0e9e788', '\xbe50020ec6344356691eeff6745f8bf62de85329be19592f557c6f8e79ae22a1', '\x3082044b308202b3a003020102021052dbf8e956e2d66095d527be4bcbf3d7300d06092a864886f70d01010b0500307431133011060355040a130a5374726f6e67726f6f6d312d302b060355040b132438653732613363342d663239322d346263312d386237642d366435313564393134366665312e302c060355040313255374726f6e67726f6f6d20706f6f6c206d61696e206174746573746174696f6e20726f6f74301e170d3236313132383132353331385a170d3238313132373132353331385a306d31133011060355040a130a5374726f6e67726f6f6d312d302b060355040b132438653732613363342d663239322d346263312d386237642d366435313564393134366665312730250603550403131e5374726f6e67726f6f6d20706f6f6c206d61696e206175646974206c6f6730820122300d06092a864886f70d01010105000382010f003082010a0282010100aa91fd4e9b57f34814339e2312e67f48640177b2c74f13d5587ca64edd3fa04454ff61282b62b70fb8b9bd0b8c35ca7e06d572cbbcb1ea8f10468a39e4c3d154ab920845c8226f7a791573aae81765db00874ef8e55b5301ff90cd42fd9ecf6da5abe894e650fb639687efb18a281188b60b5b6eda6635f2b44ca7dce80bdd8d706363b4465e14be456fc061da5ce1b3b5f845d2d7e00571470ec9df56015a242819cef375d37c404e3f246ebc1ee98b1efff84072bfff54ae8690f92392356bb2a0948cf7ad31a2bd4b27abc718d66aac68adee4c30189bb9339939bf2695fd1124a8e36d7de05eaceaa074125ab59955a74a55c1265833ec164a701604e0ff0203010001a360305e300c0603551d130101ff04023000300e0603551d0f0101ff040403020780301d0603551d0e041604149434bf084851ab6f0efe65f9c50a14e31d8c0508301f0603551d2304183016801468f520564debd80817b6f72917e3fd84d2e7b592300d06092a864886f70d01010b0500038201810092171111022bf2f6dd56ce4639ec38f93495da3b038572086f5b344395ef36cb7ad685f551daafd49f67e041f73ad047975434b14c56b47f817eba91c5a88dd04cf5d19a11b3382b8b1c1270837ebdfeb636cf698c5b66a2a02e77a9af98a967c72f5d3de7d39a6ac648a98c735e1e04f52a8310760eb6e2c9bee2cfc1f3453d66f4e7471acbc6e8f7a144edb5e194d71231933df32339f5213295ca31aa1c032d2b30b9b8859d2465fe0661b604229b59b6b6cfd35cb88f46efa3776862ee296466c0b8797650b929618734852b410cf2e82e036dc788b8e08baafc03da99116e298ecdea991677f1d2325894ddd7d06d560a93d19051c9e74df581ee647f030af609843e16421622e69e835d08abdaa8df0c1bfa7f7c70cf92b867d8840996faab5f6fea0ddec7aba92c3c905b2685bd35b103250442fae2aa9d0d3430d90d9dc622a22a9be97979c506fbd4fded3b2002ee151ac03edab9597ed37abe5f62b9b907a25c57b44379be8898802f1c3fce4b08768bc4f30d535cbc9b30d804c3');
SELECT pg_catalog.setval('public.audit_chain_number_seq', 3, true);
SELECT pg_catalog.setval('public.audit_event_id_seq', 1, false);
SELECT pg_catalog.setval('public.audit_witness_revision', 137, true);
SELECT pg_catalog.setval('public.key_version_ordinal_seq', 16, true);
SELECT pg_catalog.setval('public.signing_key_ordinal_seq', 1, true);
SELECT pg_catalog.setval('public.statement_key_ordinal_seq', 2, true);
ALTER TABLE ONLY public.application_certificate
    ADD CONSTRAINT application_certificate_pkey PRIMARY KEY (pool_id, application_id, key_id);
ALTER TABLE ONLY public.application_certificate
    ADD CONSTRAINT application_certificate_pool_id_application_id_thumbprint_key UNIQUE (pool_id, application_id, thumbprint);
ALTER TABLE ONLY public.application_password
    ADD CONSTRAINT application_password_pkey PRIMARY KEY (pool_id, application_id, key_id);
ALTER TABLE ONLY public.application
    ADD CONSTRAINT application_pkey PRIMARY KEY (pool_id, id);
ALTER TABLE ONLY public.application
    ADD CONSTRAINT application_pool_id_app_id_key UNIQUE (pool_id, app_id);
ALTER TABLE ONLY public.audit_chain
    ADD CONSTRAINT audit_chain_pkey PRIMARY KEY (pool_id, chain);
ALTER TABLE ONLY public.audit_checkpoint_head
    ADD CONSTRAINT audit_checkpoint_head_pkey PRIMARY KEY (pool_id, chain, number);
ALTER TABLE ONLY public.audit_checkpoint
    ADD CONSTRAINT audit_checkpoint_pkey PRIMARY KEY (pool_id, number);
ALTER TABLE ONLY public.audit_event
    ADD CONSTRAINT audit_event_pkey PRIMARY KEY (chain, sequence, "time");
ALTER TABLE ONLY public.audit_event_2026_11
    ADD CONSTRAINT audit_event_2026_11_pkey PRIMARY KEY (chain, sequence, "time");
ALTER TABLE ONLY public.audit_event_2026_12
    ADD CONSTRAINT audit_event_2026_12_pkey PRIMARY KEY (chain, sequence, "time");
ALTER TABLE ONLY public.audit_event_2027_01
    ADD CONSTRAINT audit_event_2027_01_pkey PRIMARY KEY (chain, sequence, "time");
ALTER TABLE ONLY public.audit_event_2027_02
    ADD CONSTRAINT audit_event_2027_02_pkey PRIMARY KEY (chain, sequence, "time");
ALTER TABLE ONLY public.audit_event_else
    ADD CONSTRAINT audit_event_else_pkey PRIMARY KEY (chain, sequence, "time");
ALTER TABLE ONLY public.audit_event_unchained
    ADD CONSTRAINT audit_event_unchained_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.audit_key_use
    ADD CONSTRAINT audit_key_use_pkey PRIMARY KEY (pool_id, key_name);
ALTER TABLE ONLY public.audit_usage
    ADD CONSTRAINT audit_usage_pkey PRIMARY KEY (pool_id, period, start, key_name, principal_id, operation);
ALTER TABLE ONLY public.audit_usage_position
    ADD CONSTRAINT audit_usage_position_pkey PRIMARY KEY (pool_id, chain);
ALTER TABLE ONLY public.audit_witness_pending
    ADD CONSTRAINT audit_witness_pending_pkey PRIMARY KEY (pool_id, source, row_key);
ALTER TABLE ONLY public.audit_witness
    ADD CONSTRAINT audit_witness_pkey PRIMARY KEY (pool_id, source, row_key, revision, chain, sequence);
ALTER TABLE ONLY public.backup_keys
    ADD CONSTRAINT backup_keys_pkey PRIMARY KEY (pool_id, version);
ALTER TABLE ONLY public.directory_group
    ADD CONSTRAINT directory_group_pkey PRIMARY KEY (pool_id, id);
ALTER TABLE ONLY public.directory_user
    ADD CONSTRAINT directory_user_pkey PRIMARY KEY (pool_id, id);
ALTER TABLE ONLY public.federated_credential
    ADD CONSTRAINT federated_credential_pkey PRIMARY KEY (pool_id, application_id, id);
ALTER TABLE ONLY public.federated_credential
    ADD CONSTRAINT federated_credential_pool_id_application_id_issuer_subject_key UNIQUE (pool_id, application_id, issuer, subject);
ALTER TABLE ONLY public.federated_credential
    ADD CONSTRAINT federated_credential_pool_id_application_id_name_key UNIQUE (pool_id, application_id, name);
ALTER TABLE ONLY public.federated_credential_use
    ADD CONSTRAINT federated_credential_use_pkey PRIMARY KEY (pool_id, application_id, id);
ALTER TABLE ONLY public.gcm_use
    ADD CONSTRAINT gcm_use_pkey PRIMARY KEY (pool_id, version);
ALTER TABLE ONLY public.group_member
    ADD CONSTRAINT group_member_pkey PRIMARY KEY (pool_id, group_id, member_id);
ALTER TABLE ONLY public.hsm_object_intent
    ADD CONSTRAINT hsm_object_intent_pkey PRIMARY KEY (pool_id, object_id);
ALTER TABLE ONLY public.key
    ADD CONSTRAINT key_pkey PRIMARY KEY (pool_id, name_key);
ALTER TABLE ONLY public.key_version
    ADD CONSTRAINT key_version_pkey PRIMARY KEY (pool_id, name_key, version);
ALTER TABLE ONLY public.pool
    ADD CONSTRAINT pool_name_key UNIQUE (name);
ALTER TABLE ONLY public.pool
    ADD CONSTRAINT pool_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.recovery_job
    ADD CONSTRAINT recovery_job_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.retired_root_generation
    ADD CONSTRAINT retired_root_generation_pkey PRIMARY KEY (pool_id, number);
ALTER TABLE ONLY public.role_assignment
    ADD CONSTRAINT role_assignment_pkey PRIMARY KEY (pool_id, id);
ALTER TABLE ONLY public.role_assignment
    ADD CONSTRAINT role_assignment_pool_id_principal_id_role_id_scope_key UNIQUE (pool_id, principal_id, role_id, scope);
ALTER TABLE ONLY public.role_definition
    ADD CONSTRAINT role_definition_pkey PRIMARY KEY (pool_id, id);
ALTER TABLE ONLY public.role_permission
    ADD CONSTRAINT role_permission_pkey PRIMARY KEY (pool_id, role_id, action);
ALTER TABLE ONLY public.root_generation
    ADD CONSTRAINT root_generation_pkey PRIMARY KEY (pool_id, number);
ALTER TABLE ONLY public.rotation_policy
    ADD CONSTRAINT rotation_policy_pkey PRIMARY KEY (pool_id, name_key);
ALTER TABLE ONLY public.schema_migration
    ADD CONSTRAINT schema_migration_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.security_domain_download
    ADD CONSTRAINT security_domain_download_pkey PRIMARY KEY (pool_id, generation);
ALTER TABLE ONLY public.service_principal
    ADD CONSTRAINT service_principal_pkey PRIMARY KEY (pool_id, id);
ALTER TABLE ONLY public.service_principal
    ADD CONSTRAINT service_principal_pool_id_app_id_key UNIQUE (pool_id, app_id);
ALTER TABLE ONLY public.setting
    ADD CONSTRAINT setting_pkey PRIMARY KEY (pool_id, name);
ALTER TABLE ONLY public.signing_key
    ADD CONSTRAINT signing_key_pkey PRIMARY KEY (pool_id, version);
ALTER TABLE ONLY public.signing_key
    ADD CONSTRAINT signing_key_pool_id_after_version_key UNIQUE (pool_id, after_version);
ALTER TABLE ONLY public.statement_key
    ADD CONSTRAINT statement_key_pkey PRIMARY KEY (pool_id, version);
ALTER TABLE ONLY public.transfer_key
    ADD CONSTRAINT transfer_key_pkey PRIMARY KEY (pool_id, version);
ALTER TABLE ONLY public.uploaded_backup_keys
    ADD CONSTRAINT uploaded_backup_keys_pkey PRIMARY KEY (pool_id, of_pool_id, version);
ALTER TABLE ONLY public.uploaded_domain
    ADD CONSTRAINT uploaded_domain_pkey PRIMARY KEY (pool_id, of_pool_id);
ALTER TABLE ONLY public.user_identity
    ADD CONSTRAINT user_identity_pkey PRIMARY KEY (pool_id, issuer, subject);
CREATE INDEX application_name ON public.application USING btree (pool_id, display_name, id);
CREATE UNIQUE INDEX audit_chain_number ON public.audit_chain USING btree (number);
CREATE INDEX audit_checkpoint_time ON public.audit_checkpoint USING btree (pool_id, "time");
CREATE INDEX audit_event_key ON ONLY public.audit_event USING btree (pool_id, lower(key_name), "time");
CREATE INDEX audit_event_2026_11_pool_id_lower_time_idx ON public.audit_event_2026_11 USING btree (pool_id, lower(key_name), "time");
CREATE INDEX audit_event_principal_lower ON ONLY public.audit_event USING btree (pool_id, lower(principal_id), "time");
CREATE INDEX audit_event_2026_11_pool_id_lower_time_idx1 ON public.audit_event_2026_11 USING btree (pool_id, lower(principal_id), "time");
CREATE INDEX audit_event_time ON ONLY public.audit_event USING btree (pool_id, "time", chain, sequence);
CREATE INDEX audit_event_2026_11_pool_id_time_chain_sequence_idx ON public.audit_event_2026_11 USING btree (pool_id, "time", chain, sequence);
CREATE INDEX audit_event_2026_12_pool_id_lower_time_idx ON public.audit_event_2026_12 USING btree (pool_id, lower(key_name), "time");
CREATE INDEX audit_event_2026_12_pool_id_lower_time_idx1 ON public.audit_event_2026_12 USING btree (pool_id, lower(principal_id), "time");
CREATE INDEX audit_event_2026_12_pool_id_time_chain_sequence_idx ON public.audit_event_2026_12 USING btree (pool_id, "time", chain, sequence);
CREATE INDEX audit_event_2027_01_pool_id_lower_time_idx ON public.audit_event_2027_01 USING btree (pool_id, lower(key_name), "time");
CREATE INDEX audit_event_2027_01_pool_id_lower_time_idx1 ON public.audit_event_2027_01 USING btree (pool_id, lower(principal_id), "time");
CREATE INDEX audit_event_2027_01_pool_id_time_chain_sequence_idx ON public.audit_event_2027_01 USING btree (pool_id, "time", chain, sequence);
CREATE INDEX audit_event_2027_02_pool_id_lower_time_idx ON public.audit_event_2027_02 USING btree (pool_id, lower(key_name), "time");
CREATE INDEX audit_event_2027_02_pool_id_lower_time_idx1 ON public.audit_event_2027_02 USING btree (pool_id, lower(principal_id), "time");
CREATE INDEX audit_event_2027_02_pool_id_time_chain_sequence_idx ON public.audit_event_2027_02 USING btree (pool_id, "time", chain, sequence);
CREATE INDEX audit_event_else_pool_id_lower_time_idx ON public.audit_event_else USING btree (pool_id, lower(key_name), "time");
CREATE INDEX audit_event_else_pool_id_lower_time_idx1 ON public.audit_event_else USING btree (pool_id, lower(principal_id), "time");
CREATE INDEX audit_event_else_pool_id_time_chain_sequence_idx ON public.audit_event_else USING btree (pool_id, "time", chain, sequence);
CREATE INDEX audit_usage_key ON public.audit_usage USING btree (pool_id, period, key_name, start);
CREATE INDEX audit_usage_principal_lower ON public.audit_usage USING btree (pool_id, period, lower(principal_id), start);
CREATE INDEX audit_witness_record ON public.audit_witness USING btree (pool_id, chain, sequence);
CREATE INDEX directory_group_name ON public.directory_group USING btree (pool_id, display_name, id);
CREATE UNIQUE INDEX directory_user_name ON public.directory_user USING btree (pool_id, lower(user_principal_name));
CREATE INDEX group_member_member ON public.group_member USING btree (pool_id, member_id, group_id);
CREATE INDEX hsm_object_intent_version ON public.hsm_object_intent USING btree (pool_id, version);
CREATE INDEX key_active ON public.key USING btree (pool_id, name_key) WHERE (deleted_at IS NULL);
CREATE INDEX key_deleted ON public.key USING btree (pool_id, name_key) WHERE (deleted_at IS NOT NULL);
CREATE INDEX key_purge ON public.key USING btree (pool_id, purge_at) WHERE (purge_at IS NOT NULL);
CREATE INDEX key_version_mac_object ON public.key_version USING btree (pool_id, mac_blob) WHERE (octet_length(mac_blob) = 17);
CREATE INDEX key_version_object ON public.key_version USING btree (pool_id, blob) WHERE (octet_length(blob) = 17);
CREATE UNIQUE INDEX key_version_order ON public.key_version USING btree (pool_id, name_key, ordinal);
CREATE INDEX key_version_root_generation ON public.key_version USING btree (pool_id, root_generation);
CREATE INDEX recovery_job_pool ON public.recovery_job USING btree (pool_name, kind, started_at);
CREATE UNIQUE INDEX recovery_job_under_way ON public.recovery_job USING btree (pool_id) WHERE (status = 'InProgress'::text);
CREATE INDEX role_assignment_role ON public.role_assignment USING btree (pool_id, role_id);
CREATE INDEX role_assignment_scope ON public.role_assignment USING btree (pool_id, scope, id);
CREATE INDEX role_definition_order ON public.role_definition USING btree (pool_id, kind, "position", id);
CREATE INDEX rotation_policy_notify ON public.rotation_policy USING btree (pool_id, notify_at) WHERE (notify_at IS NOT NULL);
CREATE INDEX rotation_policy_rotate ON public.rotation_policy USING btree (pool_id, rotate_at) WHERE (rotate_at IS NOT NULL);
CREATE INDEX service_principal_name ON public.service_principal USING btree (pool_id, display_name, id);
CREATE INDEX statement_key_newest ON public.statement_key USING btree (pool_id, purpose, ordinal);
CREATE UNIQUE INDEX statement_key_root ON public.statement_key USING btree (pool_id) WHERE (purpose = 'root'::text);
CREATE UNIQUE INDEX transfer_key_one ON public.transfer_key USING btree (pool_id);
CREATE UNIQUE INDEX uploaded_domain_one ON public.uploaded_domain USING btree (pool_id);
CREATE INDEX user_identity_user ON public.user_identity USING btree (pool_id, user_id);
ALTER INDEX public.audit_event_pkey ATTACH PARTITION public.audit_event_2026_11_pkey;
ALTER INDEX public.audit_event_key ATTACH PARTITION public.audit_event_2026_11_pool_id_lower_time_idx;
ALTER INDEX public.audit_event_principal_lower ATTACH PARTITION public.audit_event_2026_11_pool_id_lower_time_idx1;
ALTER INDEX public.audit_event_time ATTACH PARTITION public.audit_event_2026_11_pool_id_time_chain_sequence_idx;
ALTER INDEX public.audit_event_pkey ATTACH PARTITION public.audit_event_2026_12_pkey;
ALTER INDEX public.audit_event_key ATTACH PARTITION public.audit_event_2026_12_pool_id_lower_time_idx;
ALTER INDEX public.audit_event_principal_lower ATTACH PARTITION public.audit_event_2026_12_pool_id_lower_time_idx1;
ALTER INDEX public.audit_event_time ATTACH PARTITION public.audit_event_2026_12_pool_id_time_chain_sequence_idx;
ALTER INDEX public.audit_event_pkey ATTACH PARTITION public.audit_event_2027_01_pkey;
ALTER INDEX public.audit_event_key ATTACH PARTITION public.audit_event_2027_01_pool_id_lower_time_idx;
ALTER INDEX public.audit_event_principal_lower ATTACH PARTITION public.audit_event_2027_01_pool_id_lower_time_idx1;
ALTER INDEX public.audit_event_time ATTACH PARTITION public.audit_event_2027_01_pool_id_time_chain_sequence_idx;
ALTER INDEX public.audit_event_pkey ATTACH PARTITION public.audit_event_2027_02_pkey;
ALTER INDEX public.audit_event_key ATTACH PARTITION public.audit_event_2027_02_pool_id_lower_time_idx;
ALTER INDEX public.audit_event_principal_lower ATTACH PARTITION public.audit_event_2027_02_pool_id_lower_time_idx1;
ALTER INDEX public.audit_event_time ATTACH PARTITION public.audit_event_2027_02_pool_id_time_chain_sequence_idx;
ALTER INDEX public.audit_event_pkey ATTACH PARTITION public.audit_event_else_pkey;
ALTER INDEX public.audit_event_key ATTACH PARTITION public.audit_event_else_pool_id_lower_time_idx;
ALTER INDEX public.audit_event_principal_lower ATTACH PARTITION public.audit_event_else_pool_id_lower_time_idx1;
ALTER INDEX public.audit_event_time ATTACH PARTITION public.audit_event_else_pool_id_time_chain_sequence_idx;
CREATE TRIGGER keep_pool_promises BEFORE UPDATE ON public.pool FOR EACH ROW EXECUTE FUNCTION public.keep_pool_promises();
CREATE TRIGGER witness_delete AFTER DELETE ON public.application REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.application_certificate REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('application_id key_id', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.application_password REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('application_id key_id', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.backup_keys REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob mac_blob seal root_generation');
CREATE TRIGGER witness_delete AFTER DELETE ON public.directory_group REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.directory_user REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.federated_credential REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('application_id id', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.group_member REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('group_id member_id', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.key REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name_key', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.key_version REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name_key version', 'blob mac_blob seal root_generation');
CREATE TRIGGER witness_delete AFTER DELETE ON public.pool REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.retired_root_generation REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('number', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.role_assignment REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.role_definition REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.role_permission REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('role_id action', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.root_generation REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('number', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.rotation_policy REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name_key', 'claimed_until');
CREATE TRIGGER witness_delete AFTER DELETE ON public.security_domain_download REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('generation', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.service_principal REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.setting REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.signing_key REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob seal root_generation');
CREATE TRIGGER witness_delete AFTER DELETE ON public.statement_key REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob seal root_generation');
CREATE TRIGGER witness_delete AFTER DELETE ON public.transfer_key REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob seal root_generation');
CREATE TRIGGER witness_delete AFTER DELETE ON public.uploaded_backup_keys REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('of_pool_id version', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.uploaded_domain REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('of_pool_id', '');
CREATE TRIGGER witness_delete AFTER DELETE ON public.user_identity REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('issuer subject', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.application REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.application_certificate REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('application_id key_id', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.application_password REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('application_id key_id', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.backup_keys REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob mac_blob seal root_generation');
CREATE TRIGGER witness_insert AFTER INSERT ON public.directory_group REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.directory_user REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.federated_credential REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('application_id id', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.group_member REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('group_id member_id', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.key REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name_key', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.key_version REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name_key version', 'blob mac_blob seal root_generation');
CREATE TRIGGER witness_insert AFTER INSERT ON public.pool REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.retired_root_generation REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('number', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.role_assignment REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.role_definition REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.role_permission REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('role_id action', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.root_generation REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('number', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.rotation_policy REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name_key', 'claimed_until');
CREATE TRIGGER witness_insert AFTER INSERT ON public.security_domain_download REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('generation', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.service_principal REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.setting REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.signing_key REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob seal root_generation');
CREATE TRIGGER witness_insert AFTER INSERT ON public.statement_key REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob seal root_generation');
CREATE TRIGGER witness_insert AFTER INSERT ON public.transfer_key REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob seal root_generation');
CREATE TRIGGER witness_insert AFTER INSERT ON public.uploaded_backup_keys REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('of_pool_id version', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.uploaded_domain REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('of_pool_id', '');
CREATE TRIGGER witness_insert AFTER INSERT ON public.user_identity REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('issuer subject', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.application REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.application_certificate REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('application_id key_id', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.application_password REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('application_id key_id', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.backup_keys REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob mac_blob seal root_generation');
CREATE TRIGGER witness_update AFTER UPDATE ON public.directory_group REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.directory_user REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.federated_credential REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('application_id id', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.group_member REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('group_id member_id', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.key REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name_key', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.key_version REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name_key version', 'blob mac_blob seal root_generation');
CREATE TRIGGER witness_update AFTER UPDATE ON public.pool REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.retired_root_generation REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('number', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.role_assignment REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.role_definition REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.role_permission REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('role_id action', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.root_generation REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('number', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.rotation_policy REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name_key', 'claimed_until');
CREATE TRIGGER witness_update AFTER UPDATE ON public.security_domain_download REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('generation', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.service_principal REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('id', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.setting REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('name', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.signing_key REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob seal root_generation');
CREATE TRIGGER witness_update AFTER UPDATE ON public.statement_key REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob seal root_generation');
CREATE TRIGGER witness_update AFTER UPDATE ON public.transfer_key REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('version', 'blob seal root_generation');
CREATE TRIGGER witness_update AFTER UPDATE ON public.uploaded_backup_keys REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('of_pool_id version', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.uploaded_domain REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('of_pool_id', '');
CREATE TRIGGER witness_update AFTER UPDATE ON public.user_identity REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.witness('issuer subject', '');
ALTER TABLE ONLY public.application_certificate
    ADD CONSTRAINT application_certificate_pool_id_application_id_fkey FOREIGN KEY (pool_id, application_id) REFERENCES public.application(pool_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.application_password
    ADD CONSTRAINT application_password_pool_id_application_id_fkey FOREIGN KEY (pool_id, application_id) REFERENCES public.application(pool_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.application
    ADD CONSTRAINT application_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.audit_chain
    ADD CONSTRAINT audit_chain_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.audit_checkpoint_head
    ADD CONSTRAINT audit_checkpoint_head_pool_id_number_fkey FOREIGN KEY (pool_id, number) REFERENCES public.audit_checkpoint(pool_id, number) ON DELETE CASCADE;
ALTER TABLE ONLY public.audit_checkpoint
    ADD CONSTRAINT audit_checkpoint_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.audit_event_unchained
    ADD CONSTRAINT audit_event_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.audit_key_use
    ADD CONSTRAINT audit_key_use_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.audit_usage
    ADD CONSTRAINT audit_usage_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.audit_usage_position
    ADD CONSTRAINT audit_usage_position_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.audit_witness_pending
    ADD CONSTRAINT audit_witness_pending_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.audit_witness
    ADD CONSTRAINT audit_witness_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.backup_keys
    ADD CONSTRAINT backup_keys_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.backup_keys
    ADD CONSTRAINT backup_keys_root_generation FOREIGN KEY (pool_id, root_generation) REFERENCES public.root_generation(pool_id, number);
ALTER TABLE ONLY public.directory_group
    ADD CONSTRAINT directory_group_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.directory_user
    ADD CONSTRAINT directory_user_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.federated_credential
    ADD CONSTRAINT federated_credential_pool_id_application_id_fkey FOREIGN KEY (pool_id, application_id) REFERENCES public.application(pool_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.federated_credential_use
    ADD CONSTRAINT federated_credential_use_pool_id_application_id_id_fkey FOREIGN KEY (pool_id, application_id, id) REFERENCES public.federated_credential(pool_id, application_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.gcm_use
    ADD CONSTRAINT gcm_use_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.group_member
    ADD CONSTRAINT group_member_pool_id_group_id_fkey FOREIGN KEY (pool_id, group_id) REFERENCES public.directory_group(pool_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.hsm_object_intent
    ADD CONSTRAINT hsm_object_intent_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.key
    ADD CONSTRAINT key_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.key
    ADD CONSTRAINT key_pool_id_name_key_current_version_fkey FOREIGN KEY (pool_id, name_key, current_version) REFERENCES public.key_version(pool_id, name_key, version) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.key_version
    ADD CONSTRAINT key_version_pool_id_name_key_fkey FOREIGN KEY (pool_id, name_key) REFERENCES public.key(pool_id, name_key) ON DELETE CASCADE;
ALTER TABLE ONLY public.key_version
    ADD CONSTRAINT key_version_root_generation FOREIGN KEY (pool_id, root_generation) REFERENCES public.root_generation(pool_id, number) NOT VALID;
ALTER TABLE ONLY public.recovery_job
    ADD CONSTRAINT recovery_job_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.retired_root_generation
    ADD CONSTRAINT retired_root_generation_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.role_assignment
    ADD CONSTRAINT role_assignment_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.role_definition
    ADD CONSTRAINT role_definition_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.role_permission
    ADD CONSTRAINT role_permission_pool_id_role_id_fkey FOREIGN KEY (pool_id, role_id) REFERENCES public.role_definition(pool_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.root_generation
    ADD CONSTRAINT root_generation_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.rotation_policy
    ADD CONSTRAINT rotation_policy_pool_id_name_key_fkey FOREIGN KEY (pool_id, name_key) REFERENCES public.key(pool_id, name_key) ON DELETE CASCADE;
ALTER TABLE ONLY public.security_domain_download
    ADD CONSTRAINT security_domain_download_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.service_principal
    ADD CONSTRAINT service_principal_pool_id_app_id_fkey FOREIGN KEY (pool_id, app_id) REFERENCES public.application(pool_id, app_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.setting
    ADD CONSTRAINT setting_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.signing_key
    ADD CONSTRAINT signing_key_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.signing_key
    ADD CONSTRAINT signing_key_root_generation FOREIGN KEY (pool_id, root_generation) REFERENCES public.root_generation(pool_id, number) NOT VALID;
ALTER TABLE ONLY public.statement_key
    ADD CONSTRAINT statement_key_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.statement_key
    ADD CONSTRAINT statement_key_root_generation FOREIGN KEY (pool_id, root_generation) REFERENCES public.root_generation(pool_id, number) NOT VALID;
ALTER TABLE ONLY public.transfer_key
    ADD CONSTRAINT transfer_key_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.transfer_key
    ADD CONSTRAINT transfer_key_pool_id_root_generation_fkey FOREIGN KEY (pool_id, root_generation) REFERENCES public.root_generation(pool_id, number);
ALTER TABLE ONLY public.uploaded_backup_keys
    ADD CONSTRAINT uploaded_backup_keys_pool_id_of_pool_id_fkey FOREIGN KEY (pool_id, of_pool_id) REFERENCES public.uploaded_domain(pool_id, of_pool_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.uploaded_domain
    ADD CONSTRAINT uploaded_domain_pool_id_fkey FOREIGN KEY (pool_id) REFERENCES public.pool(id);
ALTER TABLE ONLY public.user_identity
    ADD CONSTRAINT user_identity_pool_id_user_id_fkey FOREIGN KEY (pool_id, user_id) REFERENCES public.directory_user(pool_id, id) ON DELETE CASCADE;
GRANT USAGE ON SCHEMA public TO strongroom_service;
REVOKE ALL ON FUNCTION public.make_audit_partitions(months integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.make_audit_partitions(months integer) TO strongroom_service;
REVOKE ALL ON FUNCTION public.raise_sequences() FROM PUBLIC;
GRANT ALL ON FUNCTION public.raise_sequences() TO strongroom_service;
REVOKE ALL ON FUNCTION public.witness_table(source text, keys text, skipped text) FROM PUBLIC;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.application TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.application_certificate TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.application_password TO strongroom_service;
GRANT SELECT,INSERT ON TABLE public.audit_chain TO strongroom_service;
GRANT SELECT,INSERT ON TABLE public.audit_checkpoint TO strongroom_service;
GRANT SELECT,INSERT ON TABLE public.audit_checkpoint_head TO strongroom_service;
GRANT SELECT,INSERT ON TABLE public.audit_event TO strongroom_service;
GRANT SELECT ON TABLE public.audit_event_unchained TO strongroom_service;
GRANT SELECT,INSERT,UPDATE ON TABLE public.audit_key_use TO strongroom_service;
GRANT SELECT,INSERT,UPDATE ON TABLE public.audit_usage TO strongroom_service;
GRANT SELECT,INSERT,UPDATE ON TABLE public.audit_usage_position TO strongroom_service;
GRANT SELECT,INSERT ON TABLE public.audit_witness TO strongroom_service;
GRANT SELECT,DELETE ON TABLE public.audit_witness_pending TO strongroom_service;
GRANT USAGE ON SEQUENCE public.audit_witness_revision TO strongroom_service;
GRANT SELECT,INSERT ON TABLE public.backup_keys TO strongroom_service;
GRANT UPDATE(root_generation) ON TABLE public.backup_keys TO strongroom_service;
GRANT UPDATE(blob) ON TABLE public.backup_keys TO strongroom_service;
GRANT UPDATE(mac_blob) ON TABLE public.backup_keys TO strongroom_service;
GRANT UPDATE(seal) ON TABLE public.backup_keys TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.directory_group TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.directory_user TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.federated_credential TO strongroom_service;
GRANT SELECT,INSERT,DELETE ON TABLE public.federated_credential_use TO strongroom_service;
GRANT SELECT,INSERT,UPDATE ON TABLE public.gcm_use TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.group_member TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.hsm_object_intent TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.key TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.key_version TO strongroom_service;
GRANT SELECT,INSERT ON TABLE public.pool TO strongroom_service;
GRANT UPDATE(name) ON TABLE public.pool TO strongroom_service;
GRANT UPDATE(purge_protection) ON TABLE public.pool TO strongroom_service;
GRANT UPDATE(root_generation) ON TABLE public.pool TO strongroom_service;
GRANT UPDATE(root_check) ON TABLE public.pool TO strongroom_service;
GRANT UPDATE(activation) ON TABLE public.pool TO strongroom_service;
GRANT UPDATE(restoring_since) ON TABLE public.pool TO strongroom_service;
GRANT SELECT,INSERT ON TABLE public.recovery_job TO strongroom_service;
GRANT UPDATE(status) ON TABLE public.recovery_job TO strongroom_service;
GRANT UPDATE(seen_at) ON TABLE public.recovery_job TO strongroom_service;
GRANT UPDATE(ended_at) ON TABLE public.recovery_job TO strongroom_service;
GRANT UPDATE(keys) ON TABLE public.recovery_job TO strongroom_service;
GRANT UPDATE(bytes) ON TABLE public.recovery_job TO strongroom_service;
GRANT UPDATE(error_code) ON TABLE public.recovery_job TO strongroom_service;
GRANT UPDATE(error_message) ON TABLE public.recovery_job TO strongroom_service;
GRANT SELECT,INSERT ON TABLE public.retired_root_generation TO strongroom_service;
GRANT UPDATE(destroyed_at) ON TABLE public.retired_root_generation TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.role_assignment TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.role_definition TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.role_permission TO strongroom_service;
GRANT SELECT,INSERT,DELETE ON TABLE public.root_generation TO strongroom_service;
GRANT UPDATE(is_kept) ON TABLE public.root_generation TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.rotation_policy TO strongroom_service;
GRANT SELECT ON TABLE public.schema_migration TO strongroom_service;
GRANT SELECT,INSERT ON TABLE public.security_domain_download TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.service_principal TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.setting TO strongroom_service;
GRANT SELECT,INSERT,DELETE ON TABLE public.signing_key TO strongroom_service;
GRANT UPDATE(root_generation) ON TABLE public.signing_key TO strongroom_service;
GRANT UPDATE(blob) ON TABLE public.signing_key TO strongroom_service;
GRANT UPDATE(seal) ON TABLE public.signing_key TO strongroom_service;
GRANT SELECT,INSERT ON TABLE public.statement_key TO strongroom_service;
GRANT UPDATE(root_generation) ON TABLE public.statement_key TO strongroom_service;
GRANT UPDATE(blob) ON TABLE public.statement_key TO strongroom_service;
GRANT UPDATE(seal) ON TABLE public.statement_key TO strongroom_service;
GRANT SELECT,INSERT,DELETE ON TABLE public.transfer_key TO strongroom_service;
GRANT UPDATE(root_generation) ON TABLE public.transfer_key TO strongroom_service;
GRANT UPDATE(blob) ON TABLE public.transfer_key TO strongroom_service;
GRANT UPDATE(seal) ON TABLE public.transfer_key TO strongroom_service;
GRANT SELECT,INSERT,DELETE ON TABLE public.uploaded_backup_keys TO strongroom_service;
GRANT SELECT,INSERT,DELETE ON TABLE public.uploaded_domain TO strongroom_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.user_identity TO strongroom_service;
