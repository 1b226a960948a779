-- The least rights that work: a role for the poller, and the publication it reads, made by someone who owns the tables.
-- Run it in the source database; write your own password and tables in it first.
--
--   psql -v ON_ERROR_STOP=1 -f role.sql shop

-- REPLICATION lets it make and read its slot. On managed servers the right is given differently:
--   Amazon RDS and Aurora   GRANT rds_replication TO freshet;
--   Google Cloud SQL        ALTER USER freshet WITH REPLICATION;   (as cloudsqlsuperuser)
CREATE ROLE freshet LOGIN REPLICATION PASSWORD 'change me';

-- To connect, and to read rows: those that were there before, and large values that an update left unchanged.
DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO freshet', current_database()); END $$;
GRANT USAGE ON SCHEMA public TO freshet;
GRANT SELECT ON products, orders TO freshet;

-- Making a publication needs CREATE on the database and ownership of its tables, which the poller should not have. It takes
-- this one as it is. The next table is one ALTER PUBLICATION freshet ADD TABLE and one GRANT away.
CREATE PUBLICATION freshet FOR TABLE products, orders WITH (publish_via_partition_root = true);
