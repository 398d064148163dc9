SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.api_key (
    id character varying NOT NULL,
    name character varying NOT NULL,
    digest character varying NOT NULL,
    hint character varying NOT NULL,
    scopes json NOT NULL,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    revoked_at timestamp with time zone,
    limits json DEFAULT '{}'::json NOT NULL,
    grants json DEFAULT '{}'::json NOT NULL
);
CREATE TABLE public.document (
    id character varying NOT NULL,
    job_id character varying NOT NULL,
    "position" integer NOT NULL,
    name character varying NOT NULL,
    source_key character varying NOT NULL,
    media_type character varying NOT NULL,
    bytes bigint NOT NULL,
    sha256 character varying NOT NULL,
    engine character varying NOT NULL,
    priority integer NOT NULL,
    state character varying NOT NULL,
    sealed boolean NOT NULL,
    worker character varying,
    attempt integer NOT NULL,
    errors integer NOT NULL,
    crashes integer NOT NULL,
    ready_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    rung_at timestamp with time zone,
    error json,
    source_pages integer,
    total integer NOT NULL,
    pending integer NOT NULL,
    running integer NOT NULL,
    succeeded integer NOT NULL,
    failed integer NOT NULL,
    canceled integer NOT NULL,
    result_attempt integer,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    owner character varying DEFAULT ''::character varying NOT NULL,
    started_at timestamp with time zone,
    deadline_at timestamp with time zone,
    charged integer DEFAULT 0 NOT NULL,
    source_url character varying,
    source_etag character varying,
    origin character varying,
    unpublished boolean DEFAULT false NOT NULL,
    reuse_key character varying,
    reader character varying,
    cached boolean DEFAULT false NOT NULL,
    copied integer DEFAULT 0 NOT NULL
)
WITH (fillfactor='70');
CREATE TABLE public.idempotency (
    owner character varying NOT NULL,
    key character varying NOT NULL,
    fingerprint character varying NOT NULL,
    job_id character varying NOT NULL,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL
);
CREATE TABLE public.inbox_object (
    id character varying NOT NULL,
    inbox character varying NOT NULL,
    key character varying NOT NULL,
    etag character varying NOT NULL,
    modified character varying NOT NULL,
    version character varying,
    bytes bigint NOT NULL,
    state character varying NOT NULL,
    holder character varying,
    held_until timestamp with time zone,
    job_id character varying,
    document_id character varying,
    original character varying DEFAULT ''::character varying NOT NULL,
    moved_etag character varying,
    taken_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    ended_at timestamp with time zone
);
CREATE TABLE public.job (
    id character varying NOT NULL,
    state character varying NOT NULL,
    sealed boolean NOT NULL,
    engine character varying NOT NULL,
    priority integer NOT NULL,
    options json NOT NULL,
    metadata json NOT NULL,
    password character varying,
    error json,
    cancel_requested boolean NOT NULL,
    manifest boolean NOT NULL,
    documents_total integer NOT NULL,
    documents_succeeded integer NOT NULL,
    documents_partial integer NOT NULL,
    documents_failed integer NOT NULL,
    documents_canceled integer NOT NULL,
    pages_total integer NOT NULL,
    pages_running integer NOT NULL,
    pages_succeeded integer NOT NULL,
    pages_failed integer NOT NULL,
    pages_canceled integer NOT NULL,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    deleted_at timestamp with time zone,
    purged_at timestamp with time zone,
    owner character varying DEFAULT ''::character varying NOT NULL,
    retention_seconds double precision,
    source_retention_seconds double precision,
    deadline_at timestamp with time zone,
    expires_at timestamp with time zone,
    sources_expire_at timestamp with time zone
);
CREATE TABLE public.lease (
    name character varying NOT NULL,
    holder character varying NOT NULL,
    expires_at timestamp with time zone NOT NULL
);
CREATE TABLE public.listing (
    id integer NOT NULL,
    job_id character varying NOT NULL,
    kind character varying NOT NULL,
    location character varying NOT NULL,
    cursor character varying NOT NULL,
    errors integer NOT NULL,
    ready_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL
);
CREATE SEQUENCE public.listing_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.listing_id_seq OWNED BY public.listing.id;
CREATE TABLE public.page (
    document_id character varying NOT NULL,
    number integer NOT NULL,
    state character varying NOT NULL,
    worker character varying,
    attempt integer NOT NULL,
    errors integer NOT NULL,
    crashes integer NOT NULL,
    ready_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    rung_at timestamp with time zone,
    error json,
    finished_at timestamp with time zone
)
WITH (fillfactor='70');
CREATE TABLE public.pause (
    owner character varying NOT NULL,
    since timestamp with time zone DEFAULT statement_timestamp() NOT NULL
);
CREATE TABLE public.publication (
    document_id character varying NOT NULL,
    location character varying NOT NULL,
    path character varying NOT NULL,
    target character varying NOT NULL,
    rank character varying NOT NULL,
    state character varying NOT NULL,
    holder character varying,
    held_until timestamp with time zone,
    attempts integer NOT NULL,
    ready_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    error json,
    published character varying,
    published_at timestamp with time zone
);
CREATE TABLE public.upload (
    id character varying NOT NULL,
    owner character varying DEFAULT ''::character varying NOT NULL,
    key character varying NOT NULL,
    name character varying NOT NULL,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL
);
CREATE TABLE public.usage (
    owner character varying NOT NULL,
    day character varying NOT NULL,
    pages bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.webhook_delivery (
    id character varying NOT NULL,
    job_id character varying NOT NULL,
    owner character varying NOT NULL,
    url character varying NOT NULL,
    host character varying NOT NULL,
    event character varying NOT NULL,
    body character varying NOT NULL,
    state character varying NOT NULL,
    attempt integer NOT NULL,
    failures integer NOT NULL,
    attempts json NOT NULL,
    next_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    rung_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    finished_at timestamp with time zone
);
CREATE TABLE public.webhook_secret (
    id character varying NOT NULL,
    owner character varying NOT NULL,
    sealed character varying NOT NULL,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    expires_at timestamp with time zone
);
CREATE TABLE public.worker (
    id character varying NOT NULL,
    host character varying NOT NULL,
    slot character varying NOT NULL,
    pid integer NOT NULL,
    engine character varying NOT NULL,
    capacity integer NOT NULL,
    state character varying NOT NULL,
    started_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    heartbeat_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    detail character varying,
    drain_requested boolean DEFAULT false NOT NULL,
    pace double precision,
    reader character varying
)
WITH (fillfactor='50');
ALTER TABLE ONLY public.listing ALTER COLUMN id SET DEFAULT nextval('public.listing_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES
	('0010');
INSERT INTO public.api_key VALUES
	('key_01a229ad296077b38c2ee1eeab8ffd55', 'earlier', '873ef9903a774f688c23d114beef5d514c320cb791c09954e61225232138be87', 'pm_zYWJY3', '["admin"]', '2026-11-29 23:39:03.905519+00', NULL, '{}', '{}');
INSERT INTO public.document VALUES
	('doc_01a229ad1b1a77dc8d5e95023c9d5322', 'job_01a229ad1b1a77dc8d5e95018287b748', 0, 'document-0.pdf', 'uploads/2026-11-29/job_01a229ad1b1a77dc8d5e95018287b748/doc_01a229ad1b1a77dc8d5e95023c9d5322', 'application/pdf', 257, '4f961a03bfa6e6ad669cd9fc0da982081301a5ed21fd08dfa07eafa2de195b86', 'echo', 1, 'failed', true, NULL, 1, 0, 0, '2026-11-29 23:39:00.274479+00', NULL, '{"type":"urn:pagemill:error:corrupt_file","title":"The file is damaged","status":422,"detail":"the document has no pages","code":"corrupt_file","retryable":false,"where":"document-0.pdf"}', NULL, 0, 0, 0, 0, 0, 0, NULL, '2026-11-29 23:39:00.274479+00', '2026-11-29 23:39:01.092202+00', '', '2026-11-29 23:39:00.440316+00', NULL, 0, NULL, NULL, NULL, false, NULL, NULL, false, 0),
	('doc_01a229ad1ab574808d720c29989971e3', 'job_01a229ad1ab574808d720c283dab8d7a', 0, 'document-0.pdf', 'uploads/2026-11-29/job_01a229ad1ab574808d720c283dab8d7a/doc_01a229ad1ab574808d720c29989971e3', 'application/pdf', 1050, '80cc8f37c81d5a0b66e25c71c9b7643a71a1d6090b1a2b62fb06e9d37664f3db', 'echo', 1, 'succeeded', true, NULL, 2, 0, 0, '2026-11-29 23:39:00.194543+00', NULL, NULL, 3, 3, 0, 0, 3, 0, 0, 2, '2026-11-29 23:39:00.194543+00', '2026-11-29 23:39:01.259661+00', '', '2026-11-29 23:39:00.440316+00', NULL, 0, NULL, NULL, NULL, false, NULL, '67be7a61a1ffb96200006718b345061e7db0425732a29780172dac22fbcc4b79', false, 0),
	('doc_01a229ad1b007730b4d7b91c6824aa26', 'job_01a229ad1af4707fbd450b187c357654', 1, 'document-1.pdf', 'uploads/2026-11-29/job_01a229ad1af4707fbd450b187c357654/doc_01a229ad1b007730b4d7b91c6824aa26', 'application/pdf', 580, '99254b93590fb5413014f036cd78818f99f45528f30f128195f4e2c8ea3fa573', 'echo', 1, 'succeeded', true, NULL, 2, 0, 0, '2026-11-29 23:39:00.238894+00', NULL, NULL, 1, 1, 0, 0, 1, 0, 0, 2, '2026-11-29 23:39:00.238894+00', '2026-11-29 23:39:01.259661+00', '', '2026-11-29 23:39:00.440316+00', NULL, 0, NULL, NULL, NULL, false, NULL, '67be7a61a1ffb96200006718b345061e7db0425732a29780172dac22fbcc4b79', false, 0),
	('doc_01a229ad1acc734d99504a376cdb7c78', 'job_01a229ad1ab574808d720c283dab8d7a', 1, 'document-1.pdf', 'uploads/2026-11-29/job_01a229ad1ab574808d720c283dab8d7a/doc_01a229ad1acc734d99504a376cdb7c78', 'application/pdf', 814, 'c4498d3e3352228f14076bf7ec30994268fd38eaa328cd16b20066ae8d990bf8', 'echo', 1, 'succeeded', true, NULL, 2, 0, 0, '2026-11-29 23:39:00.198199+00', NULL, NULL, 2, 2, 0, 0, 2, 0, 0, 2, '2026-11-29 23:39:00.198199+00', '2026-11-29 23:39:01.307409+00', '', '2026-11-29 23:39:00.440316+00', NULL, 0, NULL, NULL, NULL, false, NULL, '67be7a61a1ffb96200006718b345061e7db0425732a29780172dac22fbcc4b79', false, 0),
	('doc_01a229ad1af4707fbd450b19055eec95', 'job_01a229ad1af4707fbd450b187c357654', 0, 'document-0.pdf', 'uploads/2026-11-29/job_01a229ad1af4707fbd450b187c357654/doc_01a229ad1af4707fbd450b19055eec95', 'application/pdf', 1288, '43771eb35b4175c9c91dd8a04b91b5e3105cb202516eb3ba17e9f3cdd068a191', 'echo', 1, 'partial', true, NULL, 2, 0, 0, '2026-11-29 23:39:00.238674+00', NULL, NULL, 4, 4, 0, 0, 3, 1, 0, 2, '2026-11-29 23:39:00.238674+00', '2026-11-29 23:39:01.307409+00', '', '2026-11-29 23:39:00.440316+00', NULL, 0, NULL, NULL, NULL, false, NULL, NULL, false, 0),
	('doc_01a229ad1faa74448b239472ce5c0bb8', 'job_01a229ad1faa74448b239471b84a495b', 0, 'document-0.pdf', 'uploads/2026-11-29/job_01a229ad1faa74448b239471b84a495b/doc_01a229ad1faa74448b239472ce5c0bb8', 'application/pdf', 1050, '80cc8f37c81d5a0b66e25c71c9b7643a71a1d6090b1a2b62fb06e9d37664f3db', 'echo', 1, 'canceled', true, NULL, 1, 0, 0, '2026-11-29 23:39:01.424265+00', NULL, NULL, 3, 3, 0, 0, 1, 0, 2, NULL, '2026-11-29 23:39:01.424265+00', '2026-11-29 23:39:01.579475+00', '', '2026-11-29 23:39:01.447412+00', NULL, 0, NULL, NULL, NULL, false, NULL, NULL, false, 0),
	('doc_01a229ad218771fda5b0f65f8c564fc1', 'job_01a229ad218771fda5b0f65e79230f2c', 0, 'document-0.pdf', 'uploads/2026-11-29/job_01a229ad218771fda5b0f65e79230f2c/doc_01a229ad218771fda5b0f65f8c564fc1', 'application/pdf', 1765, 'f40a5664b37685abc9103f42c1b7a03dd6f9fabc58b54edfa2e184c944b0d03b', 'echo', 1, 'running', true, NULL, 1, 0, 0, '2026-11-29 23:39:01.901038+00', NULL, NULL, 6, 6, 0, 3, 3, 0, 0, NULL, '2026-11-29 23:39:01.901038+00', NULL, '', '2026-11-29 23:39:01.977214+00', NULL, 0, NULL, NULL, NULL, false, NULL, NULL, false, 0),
	('doc_01a229ad225777a8b6399e44aedccd0b', 'job_01a229ad225777a8b6399e43eaab3e8e', 0, 'document-0.pdf', 'uploads/2026-11-29/job_01a229ad225777a8b6399e43eaab3e8e/doc_01a229ad225777a8b6399e44aedccd0b', 'application/pdf', 814, 'c4498d3e3352228f14076bf7ec30994268fd38eaa328cd16b20066ae8d990bf8', 'echo', 1, 'queued', false, NULL, 0, 0, 0, '2026-11-29 23:39:02.139006+00', NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, NULL, '2026-11-29 23:39:02.139006+00', NULL, '', NULL, NULL, 0, NULL, NULL, NULL, false, NULL, NULL, false, 0),
	('doc_01a229ad2268706b8471041cb5fa93dc', 'job_01a229ad225777a8b6399e43eaab3e8e', 1, 'document-1.pdf', 'uploads/2026-11-29/job_01a229ad225777a8b6399e43eaab3e8e/doc_01a229ad2268706b8471041cb5fa93dc', 'application/pdf', 1805, '7c295ff39afc91829a79ad4cbe7135db6561a2b9b65952a0b8fb6e523e23fe22', 'echo', 1, 'queued', false, NULL, 0, 0, 0, '2026-11-29 23:39:02.139216+00', NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, NULL, '2026-11-29 23:39:02.139216+00', NULL, '', NULL, NULL, 0, NULL, NULL, NULL, false, NULL, NULL, false, 0);
INSERT INTO public.job VALUES
	('job_01a229ad1b1a77dc8d5e95018287b748', 'failed', true, 'echo', 1, '{"figures": true, "text": "auto"}', '{}', NULL, NULL, false, true, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, '2026-11-29 23:39:00.272667+00', '2026-11-29 23:39:00.438725+00', '2026-11-29 23:39:01.097625+00', NULL, NULL, '', NULL, NULL, NULL, NULL, NULL),
	('job_01a229ad218771fda5b0f65e79230f2c', 'running', true, 'echo', 1, '{"figures": true, "text": "auto", "echo": {"seconds": {"4": 4.0, "5": 4.0, "6": 4.0}, "faults": {}, "render": false, "layer": false}}', '{}', NULL, NULL, false, false, 1, 0, 0, 0, 0, 6, 3, 3, 0, 0, '2026-11-29 23:39:01.900632+00', '2026-11-29 23:39:01.97211+00', NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL),
	('job_01a229ad1ab574808d720c283dab8d7a', 'succeeded', true, 'echo', 1, '{"figures": true, "text": "auto"}', '{}', NULL, NULL, false, true, 2, 2, 0, 0, 0, 5, 0, 5, 0, 0, '2026-11-29 23:39:00.187108+00', '2026-11-29 23:39:00.438725+00', '2026-11-29 23:39:01.310827+00', NULL, NULL, '', NULL, NULL, NULL, NULL, NULL),
	('job_01a229ad225777a8b6399e43eaab3e8e', 'queued', true, 'echo', 1, '{"figures": true, "text": "auto"}', '{}', 'gAAAAABrDLeWaKUnwTqiVzAu1p2gNe069rv8OhoKL_WE0GQrLJK0kD_Wx5rryZ95s9zfd49P6f5mpIAR6tB71wOD51nEezN-zQ==', NULL, false, false, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, '2026-11-29 23:39:02.138497+00', NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL),
	('job_01a229ad1af4707fbd450b187c357654', 'partial', true, 'echo', 1, '{"figures": true, "text": "auto", "echo": {"seconds": {}, "faults": {"2": "fatal_error"}, "render": false, "layer": false}}', '{}', NULL, NULL, false, true, 2, 1, 1, 0, 0, 5, 0, 4, 1, 0, '2026-11-29 23:39:00.237597+00', '2026-11-29 23:39:00.438725+00', '2026-11-29 23:39:01.334169+00', NULL, NULL, '', NULL, NULL, NULL, NULL, NULL),
	('job_01a229ad1b36726097c2bc2b196174d3', 'succeeded', true, 'echo', 1, '{"figures": true, "text": "auto"}', '{}', NULL, NULL, false, true, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, '2026-11-29 23:39:00.286898+00', '2026-11-29 23:39:00.438725+00', '2026-11-29 23:39:01.350218+00', '2026-11-29 23:39:01.383514+00', '2026-11-29 23:39:01.414259+00', '', NULL, NULL, NULL, NULL, NULL),
	('job_01a229ad1faa74448b239471b84a495b', 'canceled', true, 'echo', 1, '{"figures": true, "text": "auto", "echo": {"seconds": {"2": 600.0, "3": 600.0}, "faults": {}, "render": false, "layer": false}}', '{}', NULL, NULL, true, true, 1, 0, 0, 0, 1, 3, 0, 1, 0, 2, '2026-11-29 23:39:01.423885+00', '2026-11-29 23:39:01.446496+00', '2026-11-29 23:39:01.580311+00', NULL, NULL, '', NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.lease VALUES
	('sweep', 'wrk_01a229ad1b687191bfbe4e169e45e5e0', '2026-11-30 05:39:00.333545+00'),
	('tick', 'wrk_01a229ad1a0b762f8e54a29948340f7f', '2026-11-29 23:39:02.541674+00');
INSERT INTO public.page VALUES
	('doc_01a229ad1af4707fbd450b19055eec95', 2, 'failed', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 1, 0, '2026-11-29 23:39:01.177271+00', NULL, '{"type":"urn:pagemill:error:page_render_failed","title":"The page could not be rendered","status":422,"detail":"page 2 is programmed to fail for good","code":"page_render_failed","retryable":false,"where":"page 2"}', '2026-11-29 23:39:01.177271+00'),
	('doc_01a229ad1ab574808d720c29989971e3', 3, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.184759+00', NULL, NULL, '2026-11-29 23:39:01.184759+00'),
	('doc_01a229ad1ab574808d720c29989971e3', 2, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.184759+00', NULL, NULL, '2026-11-29 23:39:01.184759+00'),
	('doc_01a229ad1acc734d99504a376cdb7c78', 2, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.184759+00', NULL, NULL, '2026-11-29 23:39:01.184759+00'),
	('doc_01a229ad1af4707fbd450b19055eec95', 1, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.184759+00', NULL, NULL, '2026-11-29 23:39:01.184759+00'),
	('doc_01a229ad1af4707fbd450b19055eec95', 3, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.184759+00', NULL, NULL, '2026-11-29 23:39:01.184759+00'),
	('doc_01a229ad1b007730b4d7b91c6824aa26', 1, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.184759+00', NULL, NULL, '2026-11-29 23:39:01.184759+00'),
	('doc_01a229ad1ab574808d720c29989971e3', 1, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.184759+00', NULL, NULL, '2026-11-29 23:39:01.184759+00'),
	('doc_01a229ad1acc734d99504a376cdb7c78', 1, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.204032+00', NULL, NULL, '2026-11-29 23:39:01.204032+00'),
	('doc_01a229ad1af4707fbd450b19055eec95', 4, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.204032+00', NULL, NULL, '2026-11-29 23:39:01.204032+00'),
	('doc_01a229ad1faa74448b239472ce5c0bb8', 1, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.564419+00', NULL, NULL, '2026-11-29 23:39:01.564419+00'),
	('doc_01a229ad1faa74448b239472ce5c0bb8', 2, 'canceled', NULL, 1, 0, 0, '2026-11-29 23:39:01.471698+00', NULL, NULL, '2026-11-29 23:39:01.578835+00'),
	('doc_01a229ad1faa74448b239472ce5c0bb8', 3, 'canceled', NULL, 1, 0, 0, '2026-11-29 23:39:01.471698+00', NULL, NULL, '2026-11-29 23:39:01.578835+00'),
	('doc_01a229ad218771fda5b0f65f8c564fc1', 4, 'running', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.989202+00', NULL, NULL, NULL),
	('doc_01a229ad218771fda5b0f65f8c564fc1', 5, 'running', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.989202+00', NULL, NULL, NULL),
	('doc_01a229ad218771fda5b0f65f8c564fc1', 6, 'running', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:01.989202+00', NULL, NULL, NULL),
	('doc_01a229ad218771fda5b0f65f8c564fc1', 3, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:02.030419+00', NULL, NULL, '2026-11-29 23:39:02.030419+00'),
	('doc_01a229ad218771fda5b0f65f8c564fc1', 1, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:02.036006+00', NULL, NULL, '2026-11-29 23:39:02.036006+00'),
	('doc_01a229ad218771fda5b0f65f8c564fc1', 2, 'succeeded', 'wrk_01a229ad1a0b762f8e54a29948340f7f', 1, 0, 0, '2026-11-29 23:39:02.049872+00', NULL, NULL, '2026-11-29 23:39:02.049872+00');
INSERT INTO public.worker VALUES
	('wrk_01a229ad1a0b762f8e54a29948340f7f', 'vm', 'cpu-0', 7695, 'echo', 64, 'alive', '2026-11-29 23:39:00.020118+00', '2026-11-29 23:39:01.662183+00', NULL, false, 9.459556380482475, '67be7a61a1ffb96200006718b345061e7db0425732a29780172dac22fbcc4b79');
SELECT pg_catalog.setval('public.listing_id_seq', 1, false);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT pk_api_key PRIMARY KEY (id);
ALTER TABLE ONLY public.document
    ADD CONSTRAINT pk_document PRIMARY KEY (id);
ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT pk_idempotency PRIMARY KEY (owner, key);
ALTER TABLE ONLY public.inbox_object
    ADD CONSTRAINT pk_inbox_object PRIMARY KEY (id);
ALTER TABLE ONLY public.job
    ADD CONSTRAINT pk_job PRIMARY KEY (id);
ALTER TABLE ONLY public.lease
    ADD CONSTRAINT pk_lease PRIMARY KEY (name);
ALTER TABLE ONLY public.listing
    ADD CONSTRAINT pk_listing PRIMARY KEY (id);
ALTER TABLE ONLY public.page
    ADD CONSTRAINT pk_page PRIMARY KEY (document_id, number);
ALTER TABLE ONLY public.pause
    ADD CONSTRAINT pk_pause PRIMARY KEY (owner);
ALTER TABLE ONLY public.publication
    ADD CONSTRAINT pk_publication PRIMARY KEY (document_id);
ALTER TABLE ONLY public.upload
    ADD CONSTRAINT pk_upload PRIMARY KEY (id);
ALTER TABLE ONLY public.usage
    ADD CONSTRAINT pk_usage PRIMARY KEY (owner, day);
ALTER TABLE ONLY public.webhook_delivery
    ADD CONSTRAINT pk_webhook_delivery PRIMARY KEY (id);
ALTER TABLE ONLY public.webhook_secret
    ADD CONSTRAINT pk_webhook_secret PRIMARY KEY (id);
ALTER TABLE ONLY public.worker
    ADD CONSTRAINT pk_worker PRIMARY KEY (id);
CREATE UNIQUE INDEX ix_api_key_digest ON public.api_key USING btree (digest);
CREATE INDEX ix_document_assemble ON public.document USING btree (priority, id) WHERE (((state)::text = 'running'::text) AND sealed AND (pending = 0) AND (running = 0));
CREATE INDEX ix_document_deadline ON public.document USING btree (deadline_at) WHERE ((deadline_at IS NOT NULL) AND ((state)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying])::text[])));
CREATE INDEX ix_document_fetch ON public.document USING btree (priority, owner, job_id, id) WHERE (((state)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying])::text[])) AND (NOT sealed) AND (worker IS NULL) AND (source_url IS NOT NULL));
CREATE INDEX ix_document_job ON public.document USING btree (job_id, "position");
CREATE INDEX ix_document_pending ON public.document USING btree (engine, priority, owner, job_id, id) WHERE (((state)::text = 'running'::text) AND (pending > 0));
CREATE INDEX ix_document_reuse ON public.document USING btree (reuse_key, id) WHERE (((state)::text = 'succeeded'::text) AND (reuse_key IS NOT NULL) AND (reader IS NOT NULL));
CREATE INDEX ix_document_rung ON public.document USING btree (rung_at) WHERE (rung_at IS NOT NULL);
CREATE INDEX ix_document_split ON public.document USING btree (priority, owner, job_id, id) WHERE (((state)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying])::text[])) AND (NOT sealed) AND (worker IS NULL) AND (source_url IS NULL));
CREATE INDEX ix_document_started ON public.document USING btree (started_at) WHERE ((state)::text = 'running'::text);
CREATE INDEX ix_document_troubled ON public.document USING btree (job_id, "position") WHERE ((error IS NOT NULL) OR (failed > 0));
CREATE INDEX ix_document_unfinished ON public.document USING btree (job_id) WHERE ((state)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying])::text[]));
CREATE INDEX ix_document_unpublished ON public.document USING btree (id) WHERE (unpublished AND ((state)::text = ANY ((ARRAY['succeeded'::character varying, 'partial'::character varying, 'failed'::character varying, 'canceled'::character varying])::text[])));
CREATE INDEX ix_document_worker ON public.document USING btree (worker) WHERE (worker IS NOT NULL);
CREATE INDEX ix_idempotency_created ON public.idempotency USING btree (created_at);
CREATE INDEX ix_inbox_object_document ON public.inbox_object USING btree (document_id);
CREATE INDEX ix_inbox_object_forgettable ON public.inbox_object USING btree (ended_at) WHERE ((original)::text = ANY ((ARRAY['done'::character varying, 'failed'::character varying])::text[]));
CREATE INDEX ix_job_backlog ON public.job USING btree (owner) WHERE ((state)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying])::text[]));
CREATE INDEX ix_job_expires ON public.job USING btree (expires_at) WHERE ((expires_at IS NOT NULL) AND (deleted_at IS NULL));
CREATE INDEX ix_job_manifest ON public.job USING btree (id) WHERE (NOT manifest);
CREATE INDEX ix_job_open ON public.job USING btree (id) WHERE ((state)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying])::text[]));
CREATE INDEX ix_job_owner ON public.job USING btree (owner, id);
CREATE INDEX ix_job_sources ON public.job USING btree (sources_expire_at) WHERE (sources_expire_at IS NOT NULL);
CREATE INDEX ix_job_to_purge ON public.job USING btree (id) WHERE ((deleted_at IS NOT NULL) AND (purged_at IS NULL));
CREATE INDEX ix_listing_job ON public.listing USING btree (job_id);
CREATE INDEX ix_page_canceled_held ON public.page USING btree (document_id) WHERE (((state)::text = 'canceled'::text) AND (worker IS NOT NULL));
CREATE INDEX ix_page_failed ON public.page USING btree (document_id, number) WHERE ((state)::text = 'failed'::text);
CREATE INDEX ix_page_held ON public.page USING btree (worker) WHERE ((state)::text = 'running'::text);
CREATE INDEX ix_page_rung ON public.page USING btree (rung_at) WHERE (((state)::text = 'pending'::text) AND (rung_at IS NOT NULL));
CREATE INDEX ix_page_silent ON public.page USING btree (document_id, number) WHERE (((state)::text = 'pending'::text) AND (rung_at IS NULL));
CREATE INDEX ix_publication_waiting ON public.publication USING btree (target) WHERE ((state)::text = 'waiting'::text);
CREATE INDEX ix_publication_written ON public.publication USING btree (target, rank) WHERE (published_at IS NOT NULL);
CREATE INDEX ix_upload_expires ON public.upload USING btree (expires_at);
CREATE INDEX ix_webhook_delivery_due ON public.webhook_delivery USING btree (owner, host, next_at) WHERE ((state)::text = 'pending'::text);
CREATE INDEX ix_webhook_delivery_job ON public.webhook_delivery USING btree (job_id, id);
CREATE INDEX ix_webhook_delivery_rung ON public.webhook_delivery USING btree (owner, host, rung_at) WHERE (rung_at IS NOT NULL);
CREATE UNIQUE INDEX ix_webhook_secret_current ON public.webhook_secret USING btree (owner) WHERE (expires_at IS NULL);
CREATE INDEX ix_webhook_secret_owner ON public.webhook_secret USING btree (owner, id);
CREATE INDEX ix_worker_live ON public.worker USING btree (state, heartbeat_at);
CREATE INDEX ix_worker_slot ON public.worker USING btree (host, slot);
ALTER TABLE ONLY public.document
    ADD CONSTRAINT fk_document_job_id FOREIGN KEY (job_id) REFERENCES public.job(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.listing
    ADD CONSTRAINT fk_listing_job_id_job FOREIGN KEY (job_id) REFERENCES public.job(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.page
    ADD CONSTRAINT fk_page_document_id FOREIGN KEY (document_id) REFERENCES public.document(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.publication
    ADD CONSTRAINT fk_publication_document_id_document FOREIGN KEY (document_id) REFERENCES public.document(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.webhook_delivery
    ADD CONSTRAINT fk_webhook_delivery_job_id FOREIGN KEY (job_id) REFERENCES public.job(id) ON DELETE CASCADE;
