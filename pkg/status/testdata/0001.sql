-- supervisor.db as its first schema was, with one row of each kind.
PRAGMA journal_mode=WAL;
CREATE TABLE `migrations` (`id` varchar(255),PRIMARY KEY (`id`));
INSERT INTO migrations VALUES ('0001-initial');
CREATE TABLE objects (
	id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, revision TEXT NOT NULL,
	created INTEGER NOT NULL, updated INTEGER NOT NULL, UNIQUE (kind, name));
INSERT INTO objects VALUES (7, 'Service', 'web', 'abc', 1700000000000000, 1700000001000000);
CREATE TABLE statuses (kind TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
INSERT INTO statuses VALUES ('Service', 'web', CAST('{"observedRevision":"abc","phase":"Running","pid":4711,"restarts":2,"updatedAt":"2023-11-14T22:13:20Z"}' AS BLOB));
CREATE TABLE intents (kind TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
INSERT INTO intents VALUES ('Service', 'web', CAST('{"key":{"kind":"Service","name":"web"},"verb":"stop","id":"i1","time":"2023-11-14T22:13:20Z","actor":"user:0 (cli)","session":"s1"}' AS BLOB));
CREATE TABLE ports (slot TEXT NOT NULL PRIMARY KEY, port INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO ports VALUES ('Service/web/0', 4000);
CREATE TABLE last_good (
	kind TEXT NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL, revision TEXT NOT NULL, data BLOB NOT NULL,
	PRIMARY KEY (kind, name));
INSERT INTO last_good VALUES ('Service', 'web', 'web.yaml', 'abc', CAST('kind: Service' AS BLOB));
CREATE TABLE events (
	id INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
	reason TEXT NOT NULL, message TEXT NOT NULL, actor TEXT NOT NULL);
CREATE INDEX events_object ON events (kind, name, id);
INSERT INTO events VALUES (1700000000000001, 1700000000000000, 'Service', 'web', 'Normal', 'Started', 'started with pid 4711', 'supervisor');
