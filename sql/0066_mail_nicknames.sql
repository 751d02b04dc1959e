-- Graph's mailNickname: a name without blanks, which clients ask for. It is no address here, and needn't be unique.

alter table directory_user add column mail_nickname text;
alter table directory_group add column mail_nickname text;
