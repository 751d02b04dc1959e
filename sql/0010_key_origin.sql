-- Whether a version was made inside the HSM, or came from outside; the seal covers it.

alter table key_version add column origin text not null default 'generated'
  check (origin in ('generated', 'imported'));
