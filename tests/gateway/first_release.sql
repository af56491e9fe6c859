CREATE TABLE accounts (
	id TEXT NOT NULL,
	may_overdraw BOOLEAN NOT NULL,
	posted BIGINT NOT NULL,
	held BIGINT NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT held_not_negative CHECK (held >= 0),
	CONSTRAINT available_not_negative CHECK (may_overdraw OR posted - held >= 0)
);
INSERT INTO "accounts" VALUES('house:grants',1,-5000,0);
INSERT INTO "accounts" VALUES('house:revenue',0,1199,0);
INSERT INTO "accounts" VALUES('cus_ada',0,3801,401);
CREATE TABLE api_keys (
	id TEXT NOT NULL,
	key_sha256 BLOB NOT NULL,
	customer_id TEXT,
	scope TEXT NOT NULL,
	created_at_ms BIGINT NOT NULL,
	revoked_at_ms BIGINT,
	PRIMARY KEY (id),
	CONSTRAINT scope_known CHECK (scope IN ('customer', 'admin')),
	CONSTRAINT customer_key_has_customer CHECK (scope = 'admin' OR customer_id IS NOT NULL),
	FOREIGN KEY(customer_id) REFERENCES customers (id)
);
INSERT INTO "api_keys" VALUES('0123456789abcdef',X'286F2D82F39C6DB0DB43C325B16D8E9DA0BEA940FA039F3F13536F31B0CEDA70','cus_ada','customer',1795394714140,NULL);
CREATE TABLE chunks (
	job_id TEXT NOT NULL,
	"index" INTEGER NOT NULL,
	frames INTEGER NOT NULL,
	tokens BIGINT NOT NULL,
	tokens_total BIGINT NOT NULL,
	flops BIGINT NOT NULL,
	device_seconds FLOAT NOT NULL,
	peak_memory_bytes BIGINT NOT NULL,
	delivered_at_ms BIGINT NOT NULL,
	pcm BLOB NOT NULL,
	PRIMARY KEY (job_id, "index"),
	FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "chunks" VALUES('job_dd39cd17bf73df2f65f68520',0,22528,408,408,45056000,1.27709750566893428386e-02,1048576,1767614400000,X'00000000');
INSERT INTO "chunks" VALUES('job_dd39cd17bf73df2f65f68520',1,21572,392,800,43144000,1.22290249433106585491e-02,1048576,1767614400000,X'00000000');
INSERT INTO "chunks" VALUES('job_b7f9e5777d75e18b11099c87',0,22528,102,102,45056000,1.27709750566893428386e-02,1048576,1767614400000,X'00000000');
INSERT INTO "chunks" VALUES('job_b7f9e5777d75e18b11099c87',1,32768,148,250,65536000,1.85759637188208613645e-02,1048576,1767614400000,X'00000000');
INSERT INTO "chunks" VALUES('job_b7f9e5777d75e18b11099c87',2,32768,149,399,65536000,1.85759637188208613645e-02,1048576,1767614400000,X'00000000');
CREATE TABLE customers (
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	"plan" TEXT NOT NULL,
	created_at_ms BIGINT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (name)
);
INSERT INTO "customers" VALUES('cus_ada','ada','standard',1795394714126);
CREATE TABLE engine_states (
	job_id TEXT NOT NULL,
	state BLOB NOT NULL,
	PRIMARY KEY (job_id),
	FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "engine_states" VALUES('job_b7f9e5777d75e18b11099c87',X'00000000');
CREATE TABLE holds (
	id TEXT NOT NULL,
	account_id TEXT NOT NULL,
	amount BIGINT NOT NULL,
	posted BIGINT NOT NULL,
	state TEXT NOT NULL,
	created_at_ms BIGINT NOT NULL,
	expires_at_ms BIGINT NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT posted_within_amount CHECK (amount >= 0 AND posted >= 0 AND posted <= amount),
	CONSTRAINT state_known CHECK (state IN ('open', 'settled', 'voided', 'expired')),
	FOREIGN KEY(account_id) REFERENCES accounts (id)
);
INSERT INTO "holds" VALUES('hold_5c29862f2f5e0acdf814010ed0c36b198e6358fb','cus_ada',800,800,'settled',1767614400000,1767618000000);
INSERT INTO "holds" VALUES('hold_c22ffa4ccd73598fa2d75d98568b55a7aa3899a3','cus_ada',800,399,'open',1767614400000,1767618000000);
CREATE TABLE jobs (
	number INTEGER NOT NULL,
	id TEXT NOT NULL,
	customer_id TEXT NOT NULL,
	idempotency_key TEXT NOT NULL,
	order_sha256 BLOB NOT NULL,
	hold_id TEXT NOT NULL,
	quote_id TEXT,
	offer_json TEXT NOT NULL,
	runs_by_itself BOOLEAN NOT NULL,
	state TEXT NOT NULL,
	tokens_quoted BIGINT NOT NULL,
	tokens_charged BIGINT NOT NULL,
	chunks_delivered INTEGER NOT NULL,
	frames_delivered BIGINT NOT NULL,
	error_json TEXT,
	created_at_ms BIGINT NOT NULL,
	finished_at_ms BIGINT,
	PRIMARY KEY (number),
	CONSTRAINT one_job_per_key UNIQUE (customer_id, idempotency_key),
	CONSTRAINT charged_within_quote CHECK (tokens_charged <= tokens_quoted),
	CONSTRAINT state_known CHECK (state IN ('queued', 'running', 'completed', 'cancelled', 'failed')),
	UNIQUE (id),
	FOREIGN KEY(customer_id) REFERENCES customers (id),
	FOREIGN KEY(hold_id) REFERENCES holds (id)
);
INSERT INTO "jobs" VALUES(1,'job_dd39cd17bf73df2f65f68520','cus_ada','k0',X'78','hold_5c29862f2f5e0acdf814010ed0c36b198e6358fb',NULL,'{"request":{"prompt":"old","tempo_bpm":240.0,"bars":1,"beats_per_bar":4,"key":"C","quality":"standard","seed":0,"model":"loopmeter","layers":null,"solver":null,"steps":null,"guidance":null,"midi_base64":null},"frames":44100,"sample_rate_hz":44100,"channels":1,"bits":16,"chunk_frames":[22528,21572],"flops":88200000,"peak_memory_bytes":1048576,"fingerprint":"fake-1","price_book":"standard-1","tokens":800,"lines":[{"text":"first 60 s","tokens":800}]}',0,'completed',800,800,2,44100,NULL,1767614400000,1767614400000);
INSERT INTO "jobs" VALUES(2,'job_b7f9e5777d75e18b11099c87','cus_ada','k1',X'78','hold_c22ffa4ccd73598fa2d75d98568b55a7aa3899a3',NULL,'{"request":{"prompt":"old","tempo_bpm":240.0,"bars":4,"beats_per_bar":4,"key":"C","quality":"standard","seed":1,"model":"loopmeter","layers":null,"solver":null,"steps":null,"guidance":null,"midi_base64":null},"frames":176400,"sample_rate_hz":44100,"channels":1,"bits":16,"chunk_frames":[22528,32768,32768,32768,32768,22800],"flops":352800000,"peak_memory_bytes":1048576,"fingerprint":"fake-1","price_book":"standard-1","tokens":800,"lines":[{"text":"first 60 s","tokens":800}]}',0,'running',800,399,3,88064,NULL,1767614400000,NULL);
CREATE TABLE quotes (
	id TEXT NOT NULL,
	customer_id TEXT NOT NULL,
	request_sha256 BLOB NOT NULL,
	offer_json TEXT NOT NULL,
	expires_at_ms BIGINT NOT NULL,
	job_id TEXT,
	PRIMARY KEY (id),
	FOREIGN KEY(customer_id) REFERENCES customers (id),
	UNIQUE (job_id)
);
CREATE TABLE scores (
	job_id TEXT NOT NULL,
	midi BLOB NOT NULL,
	summary_json TEXT NOT NULL,
	PRIMARY KEY (job_id),
	FOREIGN KEY(job_id) REFERENCES jobs (id)
);
CREATE TABLE transfers (
	id INTEGER NOT NULL,
	debit_account_id TEXT NOT NULL,
	credit_account_id TEXT NOT NULL,
	amount BIGINT NOT NULL,
	hold_id TEXT,
	chunk_index INTEGER,
	created_at_ms BIGINT NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT amount_positive CHECK (amount > 0),
	CONSTRAINT two_accounts CHECK (debit_account_id <> credit_account_id),
	CONSTRAINT chunk_charged_once UNIQUE (hold_id, chunk_index),
	FOREIGN KEY(debit_account_id) REFERENCES accounts (id),
	FOREIGN KEY(credit_account_id) REFERENCES accounts (id),
	FOREIGN KEY(hold_id) REFERENCES holds (id)
);
INSERT INTO "transfers" VALUES(1,'house:grants','cus_ada',5000,NULL,NULL,1795394714134);
INSERT INTO "transfers" VALUES(2,'cus_ada','house:revenue',408,'hold_5c29862f2f5e0acdf814010ed0c36b198e6358fb',0,1767614400000);
INSERT INTO "transfers" VALUES(3,'cus_ada','house:revenue',392,'hold_5c29862f2f5e0acdf814010ed0c36b198e6358fb',1,1767614400000);
INSERT INTO "transfers" VALUES(4,'cus_ada','house:revenue',102,'hold_c22ffa4ccd73598fa2d75d98568b55a7aa3899a3',0,1767614400000);
INSERT INTO "transfers" VALUES(5,'cus_ada','house:revenue',148,'hold_c22ffa4ccd73598fa2d75d98568b55a7aa3899a3',1,1767614400000);
INSERT INTO "transfers" VALUES(6,'cus_ada','house:revenue',149,'hold_c22ffa4ccd73598fa2d75d98568b55a7aa3899a3',2,1767614400000);
CREATE INDEX holds_open ON holds (state, expires_at_ms);
CREATE INDEX transfers_debit ON transfers (debit_account_id);
CREATE INDEX transfers_credit ON transfers (credit_account_id);
CREATE TRIGGER transfers_no_delete BEFORE DELETE ON transfers BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;
CREATE INDEX jobs_by_state ON jobs (state);
CREATE INDEX jobs_by_customer ON jobs (customer_id, number);
CREATE TRIGGER transfers_no_update BEFORE UPDATE ON transfers BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;
PRAGMA user_version=1;
