-- Takes back 0001_start.sql and 0001_rights.sql in one database: all that is stored is gone with it.
-- No command runs this; a person who means it does, with psql as a superuser and no hub on the
-- database, and tests do, to prove that what goes up comes down. Nothing here belongs to anybody else:
-- the owner owns the whole schema, and the others own nothing and lose what they were given. The
-- roles stay, because they belong to the whole cluster.
DROP OWNED BY monsys_app, monsys_auditor, monsys_owner;
