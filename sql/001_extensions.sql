-- Extensions. Needs a superuser, or a database where they are already installed.
CREATE EXTENSION IF NOT EXISTS timescaledb;
CREATE EXTENSION IF NOT EXISTS vector;
