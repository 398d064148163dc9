BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0010');
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
INSERT INTO "api_key" VALUES('key_01a229acf17176ce9c9feddcfe3acd47','earlier','045cc6ee38e09650374f0bad3c2e192a5b9699f65116a21a93f7f2a3687f6b98','pm_IkAZ8H','["admin"]','2026-11-29 23:38:49.586',NULL,'{}','{}');
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
	finished_at VARCHAR(23), owner VARCHAR DEFAULT '' NOT NULL, started_at VARCHAR(23), deadline_at VARCHAR(23), charged INTEGER DEFAULT 0 NOT NULL, source_url VARCHAR, source_etag VARCHAR, origin VARCHAR, unpublished BOOLEAN DEFAULT 0 NOT NULL, reuse_key VARCHAR, reader VARCHAR, cached BOOLEAN DEFAULT 0 NOT NULL, copied INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_document PRIMARY KEY (id), 
	CONSTRAINT fk_document_job_id FOREIGN KEY(job_id) REFERENCES job (id) ON DELETE CASCADE
);
INSERT INTO "document" VALUES('doc_01a229ace0f77338b5be9b95751bbc60','job_01a229ace0f77338b5be9b943d60628d',0,'document-0.pdf','uploads/2026-11-29/job_01a229ace0f77338b5be9b943d60628d/doc_01a229ace0f77338b5be9b95751bbc60','application/pdf',1050,'80cc8f37c81d5a0b66e25c71c9b7643a71a1d6090b1a2b62fb06e9d37664f3db','echo',1,'succeeded',1,NULL,2,0,0,'2026-11-29 23:38:45.404',NULL,NULL,3,3,0,0,3,0,0,2,'2026-11-29 23:38:45.404','2026-11-29 23:38:46.561','','2026-11-29 23:38:45.557',NULL,0,NULL,NULL,NULL,0,NULL,'67be7a61a1ffb96200006718b345061e7db0425732a29780172dac22fbcc4b79',0,0);
INSERT INTO "document" VALUES('doc_01a229ace11173c792e254821df8d864','job_01a229ace0f77338b5be9b943d60628d',1,'document-1.pdf','uploads/2026-11-29/job_01a229ace0f77338b5be9b943d60628d/doc_01a229ace11173c792e254821df8d864','application/pdf',814,'c4498d3e3352228f14076bf7ec30994268fd38eaa328cd16b20066ae8d990bf8','echo',1,'succeeded',1,NULL,2,0,0,'2026-11-29 23:38:45.404',NULL,NULL,2,2,0,0,2,0,0,2,'2026-11-29 23:38:45.404','2026-11-29 23:38:46.561','','2026-11-29 23:38:45.557',NULL,0,NULL,NULL,NULL,0,NULL,'67be7a61a1ffb96200006718b345061e7db0425732a29780172dac22fbcc4b79',0,0);
INSERT INTO "document" VALUES('doc_01a229ace12c7023b2471b77e768b216','job_01a229ace12c7023b2471b761004d780',0,'document-0.pdf','uploads/2026-11-29/job_01a229ace12c7023b2471b761004d780/doc_01a229ace12c7023b2471b77e768b216','application/pdf',1288,'43771eb35b4175c9c91dd8a04b91b5e3105cb202516eb3ba17e9f3cdd068a191','echo',1,'partial',1,NULL,2,0,0,'2026-11-29 23:38:45.455',NULL,NULL,4,4,0,0,3,1,0,2,'2026-11-29 23:38:45.455','2026-11-29 23:38:46.596','','2026-11-29 23:38:45.557',NULL,0,NULL,NULL,NULL,0,NULL,NULL,0,0);
INSERT INTO "document" VALUES('doc_01a229ace142734e8cb3fe7ba4a10e25','job_01a229ace12c7023b2471b761004d780',1,'document-1.pdf','uploads/2026-11-29/job_01a229ace12c7023b2471b761004d780/doc_01a229ace142734e8cb3fe7ba4a10e25','application/pdf',580,'99254b93590fb5413014f036cd78818f99f45528f30f128195f4e2c8ea3fa573','echo',1,'succeeded',1,NULL,2,0,0,'2026-11-29 23:38:45.455',NULL,NULL,1,1,0,0,1,0,0,2,'2026-11-29 23:38:45.455','2026-11-29 23:38:46.596','','2026-11-29 23:38:45.557',NULL,0,NULL,NULL,NULL,0,NULL,'67be7a61a1ffb96200006718b345061e7db0425732a29780172dac22fbcc4b79',0,0);
INSERT INTO "document" VALUES('doc_01a229ace15372f19d6c74585aeb4975','job_01a229ace15372f19d6c74572a55feb3',0,'document-0.pdf','uploads/2026-11-29/job_01a229ace15372f19d6c74572a55feb3/doc_01a229ace15372f19d6c74585aeb4975','application/pdf',257,'4f961a03bfa6e6ad669cd9fc0da982081301a5ed21fd08dfa07eafa2de195b86','echo',1,'failed',1,NULL,1,0,0,'2026-11-29 23:38:45.487',NULL,'{"type":"urn:pagemill:error:corrupt_file","title":"The file is damaged","status":422,"detail":"the document has no pages","code":"corrupt_file","retryable":false,"where":"document-0.pdf"}',NULL,0,0,0,0,0,0,NULL,'2026-11-29 23:38:45.487','2026-11-29 23:38:46.350','','2026-11-29 23:38:45.557',NULL,0,NULL,NULL,NULL,0,NULL,NULL,0,0);
INSERT INTO "document" VALUES('doc_01a229ace604761c8fc92b643cfa6672','job_01a229ace60271f98506299aa27e398c',0,'document-0.pdf','uploads/2026-11-29/job_01a229ace60271f98506299aa27e398c/doc_01a229ace604761c8fc92b643cfa6672','application/pdf',1050,'80cc8f37c81d5a0b66e25c71c9b7643a71a1d6090b1a2b62fb06e9d37664f3db','echo',1,'canceled',1,NULL,1,0,0,'2026-11-29 23:38:46.667',NULL,NULL,3,3,0,0,1,0,2,NULL,'2026-11-29 23:38:46.667','2026-11-29 23:38:46.760','','2026-11-29 23:38:46.680',NULL,0,NULL,NULL,NULL,0,NULL,NULL,0,0);
INSERT INTO "document" VALUES('doc_01a229ace74471d1a8e38cb8704db7fd','job_01a229ace74471d1a8e38cb790c8d889',0,'document-0.pdf','uploads/2026-11-29/job_01a229ace74471d1a8e38cb790c8d889/doc_01a229ace74471d1a8e38cb8704db7fd','application/pdf',1765,'f40a5664b37685abc9103f42c1b7a03dd6f9fabc58b54edfa2e184c944b0d03b','echo',1,'running',1,NULL,1,0,0,'2026-11-29 23:38:46.990',NULL,NULL,6,6,0,3,3,0,0,NULL,'2026-11-29 23:38:46.990',NULL,'','2026-11-29 23:38:47.014',NULL,0,NULL,NULL,NULL,0,NULL,NULL,0,0);
INSERT INTO "document" VALUES('doc_01a229ace7f275baa65b5c55dbce04a4','job_01a229ace7f275baa65b5c54efcc7a7d',0,'document-0.pdf','uploads/2026-11-29/job_01a229ace7f275baa65b5c54efcc7a7d/doc_01a229ace7f275baa65b5c55dbce04a4','application/pdf',814,'c4498d3e3352228f14076bf7ec30994268fd38eaa328cd16b20066ae8d990bf8','echo',1,'queued',0,NULL,0,0,0,'2026-11-29 23:38:47.167',NULL,NULL,NULL,0,0,0,0,0,0,NULL,'2026-11-29 23:38:47.167',NULL,'',NULL,NULL,0,NULL,NULL,NULL,0,NULL,NULL,0,0);
INSERT INTO "document" VALUES('doc_01a229ace7f976c6b6607b82b0e95761','job_01a229ace7f275baa65b5c54efcc7a7d',1,'document-1.pdf','uploads/2026-11-29/job_01a229ace7f275baa65b5c54efcc7a7d/doc_01a229ace7f976c6b6607b82b0e95761','application/pdf',1831,'0977d9e81d3053d4eb8d9f8a8b6204eef3d94ff47e003eda1b7c39a26359bf45','echo',1,'queued',0,NULL,0,0,0,'2026-11-29 23:38:47.167',NULL,NULL,NULL,0,0,0,0,0,0,NULL,'2026-11-29 23:38:47.167',NULL,'',NULL,NULL,0,NULL,NULL,NULL,0,NULL,NULL,0,0);
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
	moved_etag VARCHAR, 
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
INSERT INTO "job" VALUES('job_01a229ace0f77338b5be9b943d60628d','succeeded',1,'echo',1,'{"figures": true, "text": "auto"}','{}',NULL,NULL,0,1,2,2,0,0,0,5,0,5,0,0,'2026-11-29 23:38:45.403','2026-11-29 23:38:45.556','2026-11-29 23:38:46.563',NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ace12c7023b2471b761004d780','partial',1,'echo',1,'{"figures": true, "text": "auto", "echo": {"seconds": {}, "faults": {"2": "fatal_error"}, "render": false, "layer": false}}','{}',NULL,NULL,0,1,2,1,1,0,0,5,0,4,1,0,'2026-11-29 23:38:45.454','2026-11-29 23:38:45.556','2026-11-29 23:38:46.604',NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ace15372f19d6c74572a55feb3','failed',1,'echo',1,'{"figures": true, "text": "auto"}','{}',NULL,NULL,0,1,1,0,0,1,0,0,0,0,0,0,'2026-11-29 23:38:45.486','2026-11-29 23:38:45.556','2026-11-29 23:38:46.376',NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ace17970b099a6c5d288ae23d9','succeeded',1,'echo',1,'{"figures": true, "text": "auto"}','{}',NULL,NULL,0,1,1,1,0,0,0,1,0,1,0,0,'2026-11-29 23:38:45.525','2026-11-29 23:38:45.616','2026-11-29 23:38:46.406','2026-11-29 23:38:46.645','2026-11-29 23:38:46.654','',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ace60271f98506299aa27e398c','canceled',1,'echo',1,'{"figures": true, "text": "auto", "echo": {"seconds": {"2": 600.0, "3": 600.0}, "faults": {}, "render": false, "layer": false}}','{}',NULL,NULL,1,1,1,0,0,0,1,3,0,1,0,2,'2026-11-29 23:38:46.667','2026-11-29 23:38:46.680','2026-11-29 23:38:46.760',NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ace74471d1a8e38cb790c8d889','running',1,'echo',1,'{"figures": true, "text": "auto", "echo": {"seconds": {"4": 4.0, "5": 4.0, "6": 4.0}, "faults": {}, "render": false, "layer": false}}','{}',NULL,NULL,0,0,1,0,0,0,0,6,0,0,0,0,'2026-11-29 23:38:46.990','2026-11-29 23:38:47.014',NULL,NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "job" VALUES('job_01a229ace7f275baa65b5c54efcc7a7d','queued',1,'echo',1,'{"figures": true, "text": "auto"}','{}','gAAAAABrDLeHRFwLbh4_2NDg6pOW0SYikaYXOFPHY2RxbURi-1D3pgZopeQ4lRZMoDyLYouNB3YhlVwIeCS4lV9XXh_cpmf8_Q==',NULL,0,0,2,0,0,0,0,0,0,0,0,0,'2026-11-29 23:38:47.167',NULL,NULL,NULL,NULL,'',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE lease (
	name VARCHAR NOT NULL, 
	holder VARCHAR NOT NULL, 
	expires_at VARCHAR(23) NOT NULL, 
	CONSTRAINT pk_lease PRIMARY KEY (name)
);
INSERT INTO "lease" VALUES('tick','wrk_01a229ace06d75de8c512493f1a11f49','2026-11-29 23:38:47.596');
INSERT INTO "lease" VALUES('sweep','wrk_01a229ace15f75859b8b8e07c7f9275b','2026-11-30 05:38:45.471');
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
INSERT INTO "page" VALUES('doc_01a229ace0f77338b5be9b95751bbc60',1,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:46.522',NULL,NULL,'2026-11-29 23:38:46.522');
INSERT INTO "page" VALUES('doc_01a229ace0f77338b5be9b95751bbc60',2,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:46.522',NULL,NULL,'2026-11-29 23:38:46.522');
INSERT INTO "page" VALUES('doc_01a229ace0f77338b5be9b95751bbc60',3,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:46.533',NULL,NULL,'2026-11-29 23:38:46.533');
INSERT INTO "page" VALUES('doc_01a229ace11173c792e254821df8d864',1,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:46.533',NULL,NULL,'2026-11-29 23:38:46.533');
INSERT INTO "page" VALUES('doc_01a229ace11173c792e254821df8d864',2,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:46.533',NULL,NULL,'2026-11-29 23:38:46.533');
INSERT INTO "page" VALUES('doc_01a229ace12c7023b2471b77e768b216',1,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:46.552',NULL,NULL,'2026-11-29 23:38:46.552');
INSERT INTO "page" VALUES('doc_01a229ace12c7023b2471b77e768b216',2,'failed','wrk_01a229ace06d75de8c512493f1a11f49',1,1,0,'2026-11-29 23:38:46.522',NULL,'{"type":"urn:pagemill:error:page_render_failed","title":"The page could not be rendered","status":422,"detail":"page 2 is programmed to fail for good","code":"page_render_failed","retryable":false,"where":"page 2"}','2026-11-29 23:38:46.522');
INSERT INTO "page" VALUES('doc_01a229ace12c7023b2471b77e768b216',3,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:46.552',NULL,NULL,'2026-11-29 23:38:46.552');
INSERT INTO "page" VALUES('doc_01a229ace12c7023b2471b77e768b216',4,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:46.552',NULL,NULL,'2026-11-29 23:38:46.552');
INSERT INTO "page" VALUES('doc_01a229ace142734e8cb3fe7ba4a10e25',1,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:46.552',NULL,NULL,'2026-11-29 23:38:46.552');
INSERT INTO "page" VALUES('doc_01a229ace604761c8fc92b643cfa6672',1,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:46.734',NULL,NULL,'2026-11-29 23:38:46.734');
INSERT INTO "page" VALUES('doc_01a229ace604761c8fc92b643cfa6672',2,'canceled',NULL,1,0,0,'2026-11-29 23:38:46.690',NULL,NULL,'2026-11-29 23:38:46.760');
INSERT INTO "page" VALUES('doc_01a229ace604761c8fc92b643cfa6672',3,'canceled',NULL,1,0,0,'2026-11-29 23:38:46.690',NULL,NULL,'2026-11-29 23:38:46.760');
INSERT INTO "page" VALUES('doc_01a229ace74471d1a8e38cb8704db7fd',1,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:47.086',NULL,NULL,'2026-11-29 23:38:47.086');
INSERT INTO "page" VALUES('doc_01a229ace74471d1a8e38cb8704db7fd',2,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:47.080',NULL,NULL,'2026-11-29 23:38:47.080');
INSERT INTO "page" VALUES('doc_01a229ace74471d1a8e38cb8704db7fd',3,'succeeded','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:47.080',NULL,NULL,'2026-11-29 23:38:47.080');
INSERT INTO "page" VALUES('doc_01a229ace74471d1a8e38cb8704db7fd',4,'running','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:47.035',NULL,NULL,NULL);
INSERT INTO "page" VALUES('doc_01a229ace74471d1a8e38cb8704db7fd',5,'running','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:47.035',NULL,NULL,NULL);
INSERT INTO "page" VALUES('doc_01a229ace74471d1a8e38cb8704db7fd',6,'running','wrk_01a229ace06d75de8c512493f1a11f49',1,0,0,'2026-11-29 23:38:47.035',NULL,NULL,NULL);
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
	host VARCHAR NOT NULL, 
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
	detail VARCHAR, drain_requested BOOLEAN DEFAULT 0 NOT NULL, pace FLOAT, reader VARCHAR, 
	CONSTRAINT pk_worker PRIMARY KEY (id)
);
INSERT INTO "worker" VALUES('wrk_01a229ace06d75de8c512493f1a11f49','vm','cpu-0',7332,'echo',64,'alive','2026-11-29 23:38:45.238','2026-11-29 23:38:46.851',NULL,0,7.11211661056698218885e+00,'67be7a61a1ffb96200006718b345061e7db0425732a29780172dac22fbcc4b79');
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
CREATE INDEX ix_webhook_delivery_due ON webhook_delivery (owner, host, next_at) WHERE state = 'pending';
CREATE INDEX ix_webhook_delivery_rung ON webhook_delivery (owner, host, rung_at) WHERE rung_at IS NOT NULL;
CREATE INDEX ix_inbox_object_document ON inbox_object (document_id);
CREATE INDEX ix_inbox_object_forgettable ON inbox_object (ended_at) WHERE original IN ('done','failed');
CREATE INDEX ix_publication_waiting ON publication (target) WHERE state = 'waiting';
CREATE INDEX ix_publication_written ON publication (target, rank) WHERE published_at IS NOT NULL;
CREATE INDEX ix_document_unpublished ON document (id) WHERE unpublished AND state IN ('succeeded','partial','failed','canceled');
CREATE INDEX ix_document_reuse ON document (reuse_key, id) WHERE state = 'succeeded' AND reuse_key IS NOT NULL AND reader IS NOT NULL;
COMMIT;
