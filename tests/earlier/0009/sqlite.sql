BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0009');
CREATE TABLE api_key (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	hint VARCHAR NOT NULL, 
	scopes JSON NOT NULL, 
	created_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	revoked_at VARCHAR(23), limits JSON DEFAULT '{}' NOT NULL, grants JSON DEFAULT '{}' NOT NULL, 
	CONSTRAINT pk_api_key PRIMARY KEY (id)
);
INSERT INTO "api_key" VALUES('key_01a229ac483474a6b2214dc1bef11ca7','earlier','7e3f0595309799280287b931438604efa9adb018f7ff03bfdb3ad03d0778c55f','pm_e8agNy','["admin"]','2026-11-29 23:38:06.266',NULL,'{}','{}');
CREATE TABLE document (
	id VARCHAR NOT NULL, 
	job_id VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	source_key VARCHAR NOT NULL, 
	media_type VARCHAR NOT NULL, 
	bytes BIGINT NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	engine VARCHAR NOT NULL, 
	priority INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	sealed BOOLEAN NOT NULL, 
	worker VARCHAR, 
	attempt INTEGER NOT NULL, 
	errors INTEGER NOT NULL, 
	crashes INTEGER NOT NULL, 
	ready_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	rung_at VARCHAR(23), 
	error JSON, 
	source_pages INTEGER, 
	total INTEGER NOT NULL, 
	pending INTEGER NOT NULL, 
	running INTEGER NOT NULL, 
	succeeded INTEGER NOT NULL, 
	failed INTEGER NOT NULL, 
	canceled INTEGER NOT NULL, 
	result_attempt INTEGER, 
	created_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	finished_at VARCHAR(23), owner VARCHAR DEFAULT '' NOT NULL, started_at VARCHAR(23), deadline_at VARCHAR(23), charged INTEGER DEFAULT 0 NOT NULL, source_url VARCHAR, source_etag VARCHAR, origin VARCHAR, unpublished BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_document PRIMARY KEY (id), 
	CONSTRAINT fk_document_job_id FOREIGN KEY(job_id) REFERENCES job (id) ON DELETE CASCADE
);
INSERT INTO "document" VALUES('doc_01a229ac36af77968bd2cf5bdc3bf5a9','job_01a229ac36af77968bd2cf5a357f6d5e',0,'document-0.pdf','uploads/2026-11-29/job_01a229ac36af77968bd2cf5a357f6d5e/doc_01a229ac36af77968bd2cf5bdc3bf5a9','application/pdf',1050,'80cc8f37c81d5a0b66e25c71c9b7643a71a1d6090b1a2b62fb06e9d37664f3db','echo',1,'succeeded',1,NULL,2,0,0,'2026-11-29 23:38:01.842',NULL,NULL,3,3,0,0,3,0,0,2,'2026-11-29 23:38:01.842','2026-11-29 23:38:03.073','','2026-11-29 23:38:02.027',NULL,0,NULL,NULL,NULL,0);
INSERT INTO "document" VALUES('doc_01a229ac36d1747e982284cd3324be17','job_01a229ac36af77968bd2cf5a357f6d5e',1,'document-1.pdf','uploads/2026-11-29/job_01a229ac36af77968bd2cf5a357f6d5e/doc_01a229ac36d1747e982284cd3324be17','application/pdf',814,'c4498d3e3352228f14076bf7ec30994268fd38eaa328cd16b20066ae8d990bf8','echo',1,'succeeded',1,NULL,2,0,0,'2026-11-29 23:38:01.842',NULL,NULL,2,2,0,0,2,0,0,2,'2026-11-29 23:38:01.842','2026-11-29 23:38:02.999','','2026-11-29 23:38:02.027',NULL,0,NULL,NULL,NULL,0);
INSERT INTO "document" VALUES('doc_01a229ac37067328b3264063a9181e7e','job_01a229ac37067328b3264062a960f9d3',0,'document-0.pdf','uploads/2026-11-29/job_01a229ac37067328b3264062a960f9d3/doc_01a229ac37067328b3264063a9181e7e','application/pdf',1288,'43771eb35b4175c9c91dd8a04b91b5e3105cb202516eb3ba17e9f3cdd068a191','echo',1,'partial',1,NULL,2,0,0,'2026-11-29 23:38:01.890',NULL,NULL,4,4,0,0,3,1,0,2,'2026-11-29 23:38:01.890','2026-11-29 23:38:03.073','','2026-11-29 23:38:02.027',NULL,0,NULL,NULL,NULL,0);
INSERT INTO "document" VALUES('doc_01a229ac3719754bbec884c88bfcbb8f','job_01a229ac37067328b3264062a960f9d3',1,'document-1.pdf','uploads/2026-11-29/job_01a229ac37067328b3264062a960f9d3/doc_01a229ac3719754bbec884c88bfcbb8f','application/pdf',580,'99254b93590fb5413014f036cd78818f99f45528f30f128195f4e2c8ea3fa573','echo',1,'succeeded',1,NULL,2,0,0,'2026-11-29 23:38:01.890',NULL,NULL,1,1,0,0,1,0,0,2,'2026-11-29 23:38:01.890','2026-11-29 23:38:03.073','','2026-11-29 23:38:02.027',NULL,0,NULL,NULL,NULL,0);
INSERT INTO "document" VALUES('doc_01a229ac37257555994f7dfd704d5e49','job_01a229ac37257555994f7dfc5282afe5',0,'document-0.pdf','uploads/2026-11-29/job_01a229ac37257555994f7dfc5282afe5/doc_01a229ac37257555994f7dfd704d5e49','application/pdf',257,'4f961a03bfa6e6ad669cd9fc0da982081301a5ed21fd08dfa07eafa2de195b86','echo',1,'failed',1,NULL,1,0,0,'2026-11-29 23:38:01.923',NULL,'{"type":"urn:pagemill:error:corrupt_file","title":"The file is damaged","status":422,"detail":"the document has no pages","code":"corrupt_file","retryable":false,"where":"document-0.pdf"}',NULL,0,0,0,0,0,0,NULL,'2026-11-29 23:38:01.923','2026-11-29 23:38:02.792','','2026-11-29 23:38:02.027',NULL,0,NULL,NULL,NULL,0);
INSERT INTO "document" VALUES('doc_01a229ac3c2477ecaec301b065272184','job_01a229ac3c2477ecaec301af86b3649c',0,'document-0.pdf','uploads/2026-11-29/job_01a229ac3c2477ecaec301af86b3649c/doc_01a229ac3c2477ecaec301b065272184','application/pdf',1050,'80cc8f37c81d5a0b66e25c71c9b7643a71a1d6090b1a2b62fb06e9d37664f3db','echo',1,'canceled',1,NULL,1,0,0,'2026-11-29 23:38:03.184',NULL,NULL,3,3,0,0,1,0,2,NULL,'2026-11-29 23:38:03.184','2026-11-29 23:38:03.272','','2026-11-29 23:38:03.205',NULL,0,NULL,NULL,NULL,0);
INSERT INTO "document" VALUES('doc_01a229ac3d577048bbf19ec8877159ae','job_01a229ac3d577048bbf19ec7d927f169',0,'document-0.pdf','uploads/2026-11-29/job_01a229ac3d577048bbf19ec7d927f169/doc_01a229ac3d577048bbf19ec8877159ae','application/pdf',1765,'f40a5664b37685abc9103f42c1b7a03dd6f9fabc58b54edfa2e184c944b0d03b','echo',1,'running',1,NULL,1,0,0,'2026-11-29 23:38:03.503',NULL,NULL,6,6,0,3,3,0,0,NULL,'2026-11-29 23:38:03.503',NULL,'','2026-11-29 23:38:03.560',NULL,0,NULL,NULL,NULL,0);
INSERT INTO "document" VALUES('doc_01a229ac3e2a75268391c0a794aaced0','job_01a229ac3e2a75268391c0a6355187a3',0,'document-0.pdf','uploads/2026-11-29/job_01a229ac3e2a75268391c0a6355187a3/doc_01a229ac3e2a75268391c0a794aaced0','application/pdf',814,'c4498d3e3352228f14076bf7ec30994268fd38eaa328cd16b20066ae8d990bf8','echo',1,'queued',0,NULL,0,0,0,'2026-11-29 23:38:03.733',NULL,NULL,NULL,0,0,0,0,0,0,NULL,'2026-11-29 23:38:03.733',NULL,'',NULL,NULL,0,NULL,NULL,NULL,0);
INSERT INTO "document" VALUES('doc_01a229ac3e4072e6af7a8649c2275327','job_01a229ac3e2a75268391c0a6355187a3',1,'document-1.pdf','uploads/2026-11-29/job_01a229ac3e2a75268391c0a6355187a3/doc_01a229ac3e4072e6af7a8649c2275327','application/pdf',1859,'6ecacf258d2c20c46b8d2cc2fd1687348874db60cb020f20ea8564bced08c3b2','echo',1,'queued',0,NULL,0,0,0,'2026-11-29 23:38:03.733',NULL,NULL,NULL,0,0,0,0,0,0,NULL,'2026-11-29 23:38:03.733',NULL,'',NULL,NULL,0,NULL,NULL,NULL,0);
CREATE TABLE idempotency (
	owner VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	job_id VARCHAR NOT NULL, 
	created_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	CONSTRAINT pk_idempotency PRIMARY KEY (owner, "key")
);
CREATE TABLE inbox_object (
	id VARCHAR NOT NULL, 
	inbox VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	etag VARCHAR NOT NULL, 
	modified VARCHAR NOT NULL, 
	version VARCHAR, 
	bytes BIGINT NOT NULL, 
	state VARCHAR NOT NULL, 
	holder VARCHAR, 
	held_until VARCHAR(23), 
	job_id VARCHAR, 
	document_id VARCHAR, 
	original VARCHAR DEFAULT '' NOT NULL, 
	taken_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	ended_at VARCHAR(23), 
	CONSTRAINT pk_inbox_object PRIMARY KEY (id)
);
CREATE TABLE job (
	id VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	sealed BOOLEAN NOT NULL, 
	engine VARCHAR NOT NULL, 
	priority INTEGER NOT NULL, 
	options JSON NOT NULL, 
	metadata JSON NOT NULL, 
	password VARCHAR, 
	error JSON, 
	cancel_requested BOOLEAN NOT NULL, 
	manifest BOOLEAN NOT NULL, 
	documents_total INTEGER NOT NULL, 
	documents_succeeded INTEGER NOT NULL, 
	documents_partial INTEGER NOT NULL, 
	documents_failed INTEGER NOT NULL, 
	documents_canceled INTEGER NOT NULL, 
	pages_total INTEGER NOT NULL, 
	pages_running INTEGER NOT NULL, 
	pages_succeeded INTEGER NOT NULL, 
	pages_failed INTEGER NOT NULL, 
	pages_canceled INTEGER NOT NULL, 
	created_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	started_at VARCHAR(23), 
	finished_at VARCHAR(23), 
	deleted_at VARCHAR(23), 
	purged_at VARCHAR(23), owner VARCHAR DEFAULT '' NOT NULL, retention_seconds FLOAT, source_retention_seconds FLOAT, deadline_at VARCHAR(23), expires_at VARCHAR(23), sources_expire_at VARCHAR(23), 
	CONSTRAINT pk_job PRIMARY KEY (id)
);
INSERT INTO "job" VALUES('job_01a229ac36af77968bd2cf5a357f6d5e','succeeded',1,'echo',1,'{"figures": true, "text": "auto"}','{}',NULL,NULL,0,1,2,2,0,0,0,5,0,5,0,0,'2026-11-29 23:38:01.828','2026-11-29 23:38:02.027','2026-11-29 23:38:03.079',NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ac37067328b3264062a960f9d3','partial',1,'echo',1,'{"figures": true, "text": "auto", "echo": {"seconds": {}, "faults": {"2": "fatal_error"}, "render": false, "layer": false}}','{}',NULL,NULL,0,1,2,1,1,0,0,5,0,4,1,0,'2026-11-29 23:38:01.889','2026-11-29 23:38:02.027','2026-11-29 23:38:03.103',NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ac37257555994f7dfc5282afe5','failed',1,'echo',1,'{"figures": true, "text": "auto"}','{}',NULL,NULL,0,1,1,0,0,1,0,0,0,0,0,0,'2026-11-29 23:38:01.922','2026-11-29 23:38:02.027','2026-11-29 23:38:02.798',NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ac374b708a9f91d3e8dac6d940','succeeded',1,'echo',1,'{"figures": true, "text": "auto"}','{}',NULL,NULL,0,1,1,1,0,0,0,1,0,1,0,0,'2026-11-29 23:38:01.994','2026-11-29 23:38:02.110','2026-11-29 23:38:03.002','2026-11-29 23:38:03.144','2026-11-29 23:38:03.166','',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ac3c2477ecaec301af86b3649c','canceled',1,'echo',1,'{"figures": true, "text": "auto", "echo": {"seconds": {"2": 600.0, "3": 600.0}, "faults": {}, "render": false, "layer": false}}','{}',NULL,NULL,1,1,1,0,0,0,1,3,0,1,0,2,'2026-11-29 23:38:03.183','2026-11-29 23:38:03.205','2026-11-29 23:38:03.272',NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ac3d577048bbf19ec7d927f169','running',1,'echo',1,'{"figures": true, "text": "auto", "echo": {"seconds": {"4": 4.0, "5": 4.0, "6": 4.0}, "faults": {}, "render": false, "layer": false}}','{}',NULL,NULL,0,0,1,0,0,0,0,6,5,1,0,0,'2026-11-29 23:38:03.503','2026-11-29 23:38:03.559',NULL,NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ac3e2a75268391c0a6355187a3','queued',1,'echo',1,'{"figures": true, "text": "auto"}','{}','gAAAAABrDLdbbzIOQ1M4h_xECoQ7toVzcEaHXf4E3Mu7dXakVWToywddqdhFAsNk-O5bLmV02ed6WxPBQCNwQcqBAtEJqfKyeg==',NULL,0,0,2,0,0,0,0,0,0,0,0,0,'2026-11-29 23:38:03.733',NULL,NULL,NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE lease (
	name VARCHAR NOT NULL, 
	holder VARCHAR NOT NULL, 
	expires_at VARCHAR(23) NOT NULL, 
	CONSTRAINT pk_lease PRIMARY KEY (name)
);
INSERT INTO "lease" VALUES('tick','wrk_01a229ac36017738957fa87758782e65','2026-11-29 23:38:04.091');
INSERT INTO "lease" VALUES('sweep','wrk_01a229ac375972fd8bc62ba018ef0968','2026-11-30 05:38:02.010');
CREATE TABLE listing (
	id INTEGER NOT NULL, 
	job_id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	location VARCHAR NOT NULL, 
	cursor VARCHAR NOT NULL, 
	errors INTEGER NOT NULL, 
	ready_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	CONSTRAINT pk_listing PRIMARY KEY (id), 
	CONSTRAINT fk_listing_job_id_job FOREIGN KEY(job_id) REFERENCES job (id) ON DELETE CASCADE
);
CREATE TABLE page (
	document_id VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	worker VARCHAR, 
	attempt INTEGER NOT NULL, 
	errors INTEGER NOT NULL, 
	crashes INTEGER NOT NULL, 
	ready_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	rung_at VARCHAR(23), 
	error JSON, 
	finished_at VARCHAR(23), 
	CONSTRAINT pk_page PRIMARY KEY (document_id, number), 
	CONSTRAINT fk_page_document_id FOREIGN KEY(document_id) REFERENCES document (id) ON DELETE CASCADE
);
INSERT INTO "page" VALUES('doc_01a229ac36af77968bd2cf5bdc3bf5a9',1,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:02.951',NULL,NULL,'2026-11-29 23:38:02.951');
INSERT INTO "page" VALUES('doc_01a229ac36af77968bd2cf5bdc3bf5a9',2,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:02.934',NULL,NULL,'2026-11-29 23:38:02.934');
INSERT INTO "page" VALUES('doc_01a229ac36af77968bd2cf5bdc3bf5a9',3,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:02.934',NULL,NULL,'2026-11-29 23:38:02.934');
INSERT INTO "page" VALUES('doc_01a229ac36d1747e982284cd3324be17',1,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:02.934',NULL,NULL,'2026-11-29 23:38:02.934');
INSERT INTO "page" VALUES('doc_01a229ac36d1747e982284cd3324be17',2,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:02.934',NULL,NULL,'2026-11-29 23:38:02.934');
INSERT INTO "page" VALUES('doc_01a229ac37067328b3264063a9181e7e',1,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:02.934',NULL,NULL,'2026-11-29 23:38:02.934');
INSERT INTO "page" VALUES('doc_01a229ac37067328b3264063a9181e7e',2,'failed','wrk_01a229ac36017738957fa87758782e65',1,1,0,'2026-11-29 23:38:02.903',NULL,'{"type":"urn:pagemill:error:page_render_failed","title":"The page could not be rendered","status":422,"detail":"page 2 is programmed to fail for good","code":"page_render_failed","retryable":false,"where":"page 2"}','2026-11-29 23:38:02.903');
INSERT INTO "page" VALUES('doc_01a229ac37067328b3264063a9181e7e',3,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:02.934',NULL,NULL,'2026-11-29 23:38:02.934');
INSERT INTO "page" VALUES('doc_01a229ac37067328b3264063a9181e7e',4,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:02.951',NULL,NULL,'2026-11-29 23:38:02.951');
INSERT INTO "page" VALUES('doc_01a229ac3719754bbec884c88bfcbb8f',1,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:02.951',NULL,NULL,'2026-11-29 23:38:02.951');
INSERT INTO "page" VALUES('doc_01a229ac3c2477ecaec301b065272184',1,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:03.250',NULL,NULL,'2026-11-29 23:38:03.250');
INSERT INTO "page" VALUES('doc_01a229ac3c2477ecaec301b065272184',2,'canceled',NULL,1,0,0,'2026-11-29 23:38:03.209',NULL,NULL,'2026-11-29 23:38:03.272');
INSERT INTO "page" VALUES('doc_01a229ac3c2477ecaec301b065272184',3,'canceled',NULL,1,0,0,'2026-11-29 23:38:03.209',NULL,NULL,'2026-11-29 23:38:03.272');
INSERT INTO "page" VALUES('doc_01a229ac3d577048bbf19ec8877159ae',1,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:03.630',NULL,NULL,'2026-11-29 23:38:03.630');
INSERT INTO "page" VALUES('doc_01a229ac3d577048bbf19ec8877159ae',2,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:03.617',NULL,NULL,'2026-11-29 23:38:03.617');
INSERT INTO "page" VALUES('doc_01a229ac3d577048bbf19ec8877159ae',3,'succeeded','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:03.634',NULL,NULL,'2026-11-29 23:38:03.634');
INSERT INTO "page" VALUES('doc_01a229ac3d577048bbf19ec8877159ae',4,'running','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:03.565',NULL,NULL,NULL);
INSERT INTO "page" VALUES('doc_01a229ac3d577048bbf19ec8877159ae',5,'running','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:03.565',NULL,NULL,NULL);
INSERT INTO "page" VALUES('doc_01a229ac3d577048bbf19ec8877159ae',6,'running','wrk_01a229ac36017738957fa87758782e65',1,0,0,'2026-11-29 23:38:03.565',NULL,NULL,NULL);
CREATE TABLE pause (
	owner VARCHAR NOT NULL, 
	since VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	CONSTRAINT pk_pause PRIMARY KEY (owner)
);
CREATE TABLE publication (
	document_id VARCHAR NOT NULL, 
	location VARCHAR NOT NULL, 
	path VARCHAR NOT NULL, 
	target VARCHAR NOT NULL, 
	rank VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	holder VARCHAR, 
	held_until VARCHAR(23), 
	attempts INTEGER NOT NULL, 
	ready_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	error JSON, 
	published VARCHAR, 
	published_at VARCHAR(23), 
	CONSTRAINT pk_publication PRIMARY KEY (document_id), 
	CONSTRAINT fk_publication_document_id_document FOREIGN KEY(document_id) REFERENCES document (id) ON DELETE CASCADE
);
CREATE TABLE upload (
	id VARCHAR NOT NULL, 
	owner VARCHAR DEFAULT '' NOT NULL, 
	"key" VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	created_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	expires_at VARCHAR(23) NOT NULL, 
	CONSTRAINT pk_upload PRIMARY KEY (id)
);
CREATE TABLE usage (
	owner VARCHAR NOT NULL, 
	day VARCHAR NOT NULL, 
	pages BIGINT DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_usage PRIMARY KEY (owner, day)
);
CREATE TABLE webhook_delivery (
	id VARCHAR NOT NULL, 
	job_id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	url VARCHAR NOT NULL, 
	event VARCHAR NOT NULL, 
	body VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	attempt INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	attempts JSON NOT NULL, 
	next_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	rung_at VARCHAR(23), 
	created_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	finished_at VARCHAR(23), 
	CONSTRAINT pk_webhook_delivery PRIMARY KEY (id), 
	CONSTRAINT fk_webhook_delivery_job_id FOREIGN KEY(job_id) REFERENCES job (id) ON DELETE CASCADE
);
CREATE TABLE webhook_secret (
	id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	sealed VARCHAR NOT NULL, 
	created_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	expires_at VARCHAR(23), 
	CONSTRAINT pk_webhook_secret PRIMARY KEY (id)
);
CREATE TABLE worker (
	id VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	slot VARCHAR NOT NULL, 
	pid INTEGER NOT NULL, 
	engine VARCHAR NOT NULL, 
	capacity INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	started_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	heartbeat_at VARCHAR(23) DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')) NOT NULL, 
	detail VARCHAR, drain_requested BOOLEAN DEFAULT 0 NOT NULL, pace FLOAT, 
	CONSTRAINT pk_worker PRIMARY KEY (id)
);
INSERT INTO "worker" VALUES('wrk_01a229ac36017738957fa87758782e65','vm','cpu-0',6539,'echo',64,'alive','2026-11-29 23:38:01.604','2026-11-29 23:38:03.291',NULL,0,6.66971204978180498557e+00);
CREATE INDEX ix_job_manifest ON job (id) WHERE NOT manifest;
CREATE INDEX ix_job_open ON job (id) WHERE state IN ('queued','running');
CREATE INDEX ix_job_to_purge ON job (id) WHERE deleted_at IS NOT NULL AND purged_at IS NULL;
CREATE INDEX ix_worker_live ON worker (state, heartbeat_at);
CREATE INDEX ix_worker_slot ON worker (host, slot);
CREATE INDEX ix_document_assemble ON document (priority, id) WHERE state = 'running' AND sealed AND pending = 0 AND running = 0;
CREATE INDEX ix_document_job ON document (job_id, position);
CREATE INDEX ix_document_rung ON document (rung_at) WHERE rung_at IS NOT NULL;
CREATE INDEX ix_document_unfinished ON document (job_id) WHERE state IN ('queued','running');
CREATE INDEX ix_document_worker ON document (worker) WHERE worker IS NOT NULL;
CREATE INDEX ix_page_canceled_held ON page (document_id) WHERE state = 'canceled' AND worker IS NOT NULL;
CREATE INDEX ix_page_held ON page (worker) WHERE state = 'running';
CREATE INDEX ix_page_rung ON page (rung_at) WHERE state = 'pending' AND rung_at IS NOT NULL;
CREATE INDEX ix_page_silent ON page (document_id, number) WHERE state = 'pending' AND rung_at IS NULL;
CREATE INDEX ix_document_pending ON document (engine, priority, owner, job_id, id) WHERE state = 'running' AND pending > 0;
CREATE INDEX ix_document_deadline ON document (deadline_at) WHERE deadline_at IS NOT NULL AND state IN ('queued','running');
CREATE INDEX ix_document_started ON document (started_at) WHERE state = 'running';
CREATE UNIQUE INDEX ix_api_key_digest ON api_key (digest);
CREATE INDEX ix_job_owner ON job (owner, id);
CREATE INDEX ix_job_backlog ON job (owner) WHERE state IN ('queued','running');
CREATE INDEX ix_idempotency_created ON idempotency (created_at);
CREATE INDEX ix_upload_expires ON upload (expires_at);
CREATE INDEX ix_listing_job ON listing (job_id);
CREATE INDEX ix_job_expires ON job (expires_at) WHERE expires_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX ix_job_sources ON job (sources_expire_at) WHERE sources_expire_at IS NOT NULL;
CREATE INDEX ix_document_split ON document (priority, owner, job_id, id) WHERE state IN ('queued','running') AND NOT sealed AND worker IS NULL AND source_url IS NULL;
CREATE INDEX ix_document_fetch ON document (priority, owner, job_id, id) WHERE state IN ('queued','running') AND NOT sealed AND worker IS NULL AND source_url IS NOT NULL;
CREATE INDEX ix_document_troubled ON document (job_id, position) WHERE error IS NOT NULL OR failed > 0;
CREATE INDEX ix_page_failed ON page (document_id, number) WHERE state = 'failed';
CREATE UNIQUE INDEX ix_webhook_secret_current ON webhook_secret (owner) WHERE expires_at IS NULL;
CREATE INDEX ix_webhook_secret_owner ON webhook_secret (owner, id);
CREATE INDEX ix_webhook_delivery_job ON webhook_delivery (job_id, id);
CREATE INDEX ix_webhook_delivery_due ON webhook_delivery (owner, next_at) WHERE state = 'pending';
CREATE INDEX ix_webhook_delivery_rung ON webhook_delivery (owner, rung_at) WHERE rung_at IS NOT NULL;
CREATE INDEX ix_inbox_object_document ON inbox_object (document_id);
CREATE INDEX ix_inbox_object_forgettable ON inbox_object (ended_at) WHERE original IN ('done','failed');
CREATE INDEX ix_publication_target ON publication (target);
CREATE INDEX ix_document_unpublished ON document (id) WHERE unpublished AND state IN ('succeeded','partial','failed','canceled');
COMMIT;
