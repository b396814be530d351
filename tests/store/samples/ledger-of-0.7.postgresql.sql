CREATE TABLE public.addresses (
    ip text NOT NULL,
    ip_key bytea
);
CREATE TABLE public.billing_lines (
    number bigint NOT NULL,
    ip text NOT NULL COLLATE pg_catalog."C",
    model text NOT NULL COLLATE pg_catalog."C",
    label text,
    requests bigint NOT NULL,
    failed_requests bigint NOT NULL,
    estimated_requests bigint NOT NULL,
    unpriced_requests bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    characters bigint NOT NULL,
    audio_ms bigint NOT NULL,
    search_units bigint NOT NULL,
    images bigint NOT NULL,
    web_searches bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL
);
CREATE TABLE public.billing_periods (
    number bigint NOT NULL,
    reference text NOT NULL,
    from_seq bigint NOT NULL,
    to_seq bigint NOT NULL,
    marked_at bigint NOT NULL,
    requests bigint NOT NULL,
    failed_requests bigint NOT NULL,
    estimated_requests bigint NOT NULL,
    unpriced_requests bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_input_tokens bigint,
    characters bigint,
    audio_ms bigint,
    search_units bigint,
    images bigint,
    web_searches bigint,
    cost_nano_usd bigint NOT NULL,
    summed_to_seq bigint,
    until bigint,
    tz text,
    earlier_from_seq bigint,
    earlier_since bigint,
    late_requests bigint NOT NULL,
    held_over_requests bigint NOT NULL,
    held_over_from_seq bigint
);
CREATE TABLE public.labels (
    target text NOT NULL,
    label text,
    set_at bigint NOT NULL,
    revision bigint NOT NULL
);
CREATE TABLE public.prices (
    price_id text NOT NULL,
    rates text NOT NULL,
    source text,
    version text
);
CREATE TABLE public.request_logs (
    seq bigint NOT NULL,
    request_id text NOT NULL,
    started_at bigint NOT NULL,
    ip text NOT NULL,
    ip_key bytea,
    peer_ip text,
    context text,
    api_key_id text,
    kind text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    upstream_model text NOT NULL,
    stream integer NOT NULL,
    outcome text NOT NULL,
    http_status integer,
    error_code text,
    input_tokens bigint,
    output_tokens bigint,
    cached_input_tokens bigint,
    cache_write_tokens bigint,
    reasoning_tokens bigint,
    audio_input_tokens bigint,
    audio_output_tokens bigint,
    characters bigint,
    audio_ms bigint,
    search_units bigint,
    usage_source text NOT NULL,
    cost_nano_usd bigint,
    cost_source text,
    price_id text,
    attempts integer NOT NULL,
    duration_ms bigint NOT NULL,
    first_byte_ms bigint,
    image_input_tokens bigint,
    image_output_tokens bigint,
    cache_write_1h_tokens bigint,
    images bigint,
    web_searches bigint,
    file_searches bigint,
    service_tier text,
    requested_model text,
    first_error text,
    provider_key text,
    unexplained_tokens bigint,
    cut_counts text,
    cost_shares text
);
CREATE SEQUENCE public.request_logs_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.request_logs_seq_seq OWNED BY public.request_logs.seq;
CREATE TABLE public.responses (
    response_id text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL COLLATE pg_catalog."C",
    provider text NOT NULL,
    provider_key text,
    model text NOT NULL,
    request_id text NOT NULL,
    tokens bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE TABLE public.rollup_state (
    generation bigint NOT NULL,
    folded_seq bigint NOT NULL,
    state text NOT NULL
);
CREATE TABLE public.schema_version (
    version integer NOT NULL
);
CREATE SEQUENCE public.schema_version_version_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.schema_version_version_seq OWNED BY public.schema_version.version;
CREATE TABLE public.usage_by_ip (
    generation bigint NOT NULL,
    span_s bigint NOT NULL,
    begins_at bigint NOT NULL,
    ip text NOT NULL COLLATE pg_catalog."C",
    requests bigint NOT NULL,
    failed_requests bigint NOT NULL,
    estimated_requests bigint NOT NULL,
    unpriced_requests bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    characters bigint NOT NULL,
    audio_ms bigint NOT NULL,
    search_units bigint NOT NULL,
    images bigint NOT NULL,
    web_searches bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL
)
WITH (fillfactor='80');
CREATE TABLE public.usage_by_ip_model (
    generation bigint NOT NULL,
    span_s bigint NOT NULL,
    begins_at bigint NOT NULL,
    ip text NOT NULL COLLATE pg_catalog."C",
    model text NOT NULL COLLATE pg_catalog."C",
    requests bigint NOT NULL,
    failed_requests bigint NOT NULL,
    estimated_requests bigint NOT NULL,
    unpriced_requests bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    characters bigint NOT NULL,
    audio_ms bigint NOT NULL,
    search_units bigint NOT NULL,
    images bigint NOT NULL,
    web_searches bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL
)
WITH (fillfactor='80');
CREATE TABLE public.usage_by_key_model (
    generation bigint NOT NULL,
    span_s bigint NOT NULL,
    begins_at bigint NOT NULL,
    api_key_id text NOT NULL COLLATE pg_catalog."C",
    model text NOT NULL COLLATE pg_catalog."C",
    requests bigint NOT NULL,
    failed_requests bigint NOT NULL,
    estimated_requests bigint NOT NULL,
    unpriced_requests bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    characters bigint NOT NULL,
    audio_ms bigint NOT NULL,
    search_units bigint NOT NULL,
    images bigint NOT NULL,
    web_searches bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL
)
WITH (fillfactor='80');
CREATE TABLE public.usage_by_model (
    generation bigint NOT NULL,
    span_s bigint NOT NULL,
    begins_at bigint NOT NULL,
    model text NOT NULL COLLATE pg_catalog."C",
    provider text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    requests bigint NOT NULL,
    failed_requests bigint NOT NULL,
    estimated_requests bigint NOT NULL,
    unpriced_requests bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    characters bigint NOT NULL,
    audio_ms bigint NOT NULL,
    search_units bigint NOT NULL,
    images bigint NOT NULL,
    web_searches bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL
)
WITH (fillfactor='80');
ALTER TABLE ONLY public.request_logs ALTER COLUMN seq SET DEFAULT nextval('public.request_logs_seq_seq'::regclass);
ALTER TABLE ONLY public.schema_version ALTER COLUMN version SET DEFAULT nextval('public.schema_version_version_seq'::regclass);
INSERT INTO public.addresses VALUES ('192.0.2.1', '\x00000000000000000000ffffc0000201');
INSERT INTO public.addresses VALUES ('unknown', NULL);
INSERT INTO public.addresses VALUES ('2001:db8::1', '\x20010db8000000000000000000000001');
INSERT INTO public.billing_lines VALUES (2, '192.0.2.1', 'ears', 'Ana''s desk', 1, 1, 0, 0, 0, 0, 0, 0, 60006, 0, 2, 0, 7407402, 1700027000, 1700027000);
INSERT INTO public.billing_lines VALUES (2, '192.0.2.1', 'voice', 'Ana''s desk', 1, 0, 0, 1, 0, 0, 0, 1009, 0, 0, 0, 0, 0, 1700033000, 1700033000);
INSERT INTO public.billing_lines VALUES (2, '2001:db8::1', 'order', NULL, 1, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0, 3, 8641969, 1700029000, 1700029000);
INSERT INTO public.billing_lines VALUES (2, 'unknown', 'llama', NULL, 1, 0, 0, 0, 800, 80, 0, 0, 0, 0, 0, 0, 9876536, 1700031000, 1700031000);
INSERT INTO public.billing_periods VALUES (1, '2026-10', 1, 5, 1760000000, 5, 0, 0, 0, 400, 40, 240, 2006, 60002, 4, 2, 3, 18518505, 5, NULL, NULL, NULL, NULL, 0, 0, NULL);
INSERT INTO public.billing_periods VALUES (2, '2026-11', 6, 9, 1760000000, 4, 1, 1, 1, 800, 80, 0, 1009, 60006, 8, 2, 3, 25925907, 9, 1700033001, 'Europe/Zurich', NULL, NULL, 0, 0, NULL);
INSERT INTO public.labels VALUES ('192.0.2.1', 'Ana''s desk', 1760000000, 1);
INSERT INTO public.prices VALUES ('pppppppppppppppppppppppppppppppp', '{"input_per_million":"0.59"}', 'https://example.org', '1');
INSERT INTO public.request_logs VALUES (1, '018bcfe5-6800-7000-8000-000000000001', 1700002000, '2001:db8::1', '\x20010db8000000000000000000000001', NULL, NULL, NULL, 'tts', 'voice', 'openai', 'voice-1', 0, 'ok', 200, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1001, NULL, NULL, 'reported', 1234567, 'price', 'pppppppppppppppppppppppppppppppp', 1, 1, NULL, NULL, 8, NULL, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (2, '018bcfe5-6800-7000-8000-000000000002', 1700004000, 'unknown', NULL, NULL, NULL, NULL, 'stt', 'ears', 'openai', 'ears-1', 1, 'ok', 200, NULL, NULL, NULL, NULL, NULL, NULL, 2, NULL, NULL, 60002, NULL, 'reported', 2469134, 'price', 'pppppppppppppppppppppppppppppppp', 1, 2, NULL, NULL, NULL, NULL, NULL, 3, NULL, 'flex', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (3, '018bcfe5-6800-7000-8000-000000000003', 1700006000, '192.0.2.1', '\x00000000000000000000ffffc0000201', NULL, NULL, NULL, 'rerank', 'order', 'cohere', 'order-1', 0, 'ok', 200, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 4, 'reported', 3703701, 'price', 'pppppppppppppppppppppppppppppppp', 1, 3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'alias', NULL, '0123abcd', NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (4, '018bcfe5-6800-7000-8000-000000000004', 1700008000, '2001:db8::1', '\x20010db8000000000000000000000001', NULL, 'it''s a claim; ü', NULL, 'chat', 'llama', 'groq', 'llama-1', 1, 'ok', 200, NULL, 400, 40, 240, 4, 12, NULL, NULL, NULL, NULL, NULL, 'reported', 4938268, 'price', 'pppppppppppppppppppppppppppppppp', 1, 4, NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL, 'provider_500', NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (5, '018bcfe5-6800-7000-8000-000000000005', 1700025000, 'unknown', NULL, '10.0.0.1', NULL, NULL, 'tts', 'voice', 'openai', 'voice-1', 0, 'ok', 200, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1005, NULL, NULL, 'reported', 6172835, 'price', 'pppppppppppppppppppppppppppppppp', 1, 5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (6, '018bcfe5-6800-7000-8000-000000000006', 1700027000, '192.0.2.1', '\x00000000000000000000ffffc0000201', NULL, NULL, NULL, 'stt', 'ears', 'openai', 'ears-1', 1, 'provider_error', 200, NULL, NULL, NULL, NULL, NULL, NULL, 6, NULL, NULL, 60006, NULL, 'reported', 7407402, 'price', 'pppppppppppppppppppppppppppppppp', 1, 6, NULL, NULL, 8, NULL, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (7, '018bcfe5-6800-7000-8000-000000000007', 1700029000, '2001:db8::1', '\x20010db8000000000000000000000001', NULL, NULL, NULL, 'rerank', 'order', 'cohere', 'order-1', 0, 'ok', 200, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 8, 'estimated', 8641969, 'price', 'pppppppppppppppppppppppppppppppp', 1, 7, NULL, NULL, NULL, NULL, NULL, 3, NULL, 'flex', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (8, '018bcfe5-6800-7000-8000-000000000008', 1700031000, 'unknown', NULL, NULL, 'it''s a claim; ü', NULL, 'chat', 'llama', 'groq', 'llama-1', 1, 'ok', 200, NULL, 800, 80, NULL, 8, 24, NULL, NULL, NULL, NULL, NULL, 'reported', 9876536, 'price', 'pppppppppppppppppppppppppppppppp', 1, 8, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'alias', NULL, '0123abcd', NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (9, '018bcfe5-6800-7000-8000-000000000009', 1700033000, '192.0.2.1', '\x00000000000000000000ffffc0000201', NULL, NULL, NULL, 'tts', 'voice', 'openai', 'voice-1', 0, 'ok', 200, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1009, NULL, NULL, 'reported', NULL, NULL, NULL, 1, 9, NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL, 'provider_500', NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (10, '018bcfe5-6800-7000-8000-000000000010', 1700050000, '2001:db8::1', '\x20010db8000000000000000000000001', '10.0.0.1', NULL, NULL, 'stt', 'ears', 'openai', 'ears-1', 1, 'ok', 200, NULL, NULL, NULL, NULL, NULL, NULL, 10, NULL, NULL, 60010, NULL, 'reported', 12345670, 'price', 'pppppppppppppppppppppppppppppppp', 1, 10, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (11, '018bcfe5-6800-7000-8000-000000000011', 1700052000, 'unknown', NULL, NULL, NULL, NULL, 'rerank', 'order', 'cohere', 'order-1', 0, 'ok', 200, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 12, 'reported', 13580237, 'price', 'pppppppppppppppppppppppppppppppp', 1, 11, NULL, NULL, 8, NULL, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (12, '018bcfe5-6800-7000-8000-000000000012', 1700054000, '192.0.2.1', '\x00000000000000000000ffffc0000201', NULL, 'it''s a claim; ü', NULL, 'chat', 'llama', 'groq', 'llama-1', 1, 'client_disconnected', 200, NULL, 1200, 120, 720, 12, 36, NULL, NULL, NULL, NULL, NULL, 'reported', 14814804, 'price', 'pppppppppppppppppppppppppppppppp', 1, 12, NULL, NULL, NULL, NULL, NULL, 3, NULL, 'flex', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (13, '018bcfe5-6800-7000-8000-000000000013', 1700056000, '2001:db8::1', '\x20010db8000000000000000000000001', NULL, NULL, 'key-1', 'tts', 'voice', 'openai', 'voice-1', 0, 'ok', 200, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1013, NULL, NULL, 'reported', 16049371, 'price', 'pppppppppppppppppppppppppppppppp', 1, 13, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'alias', NULL, '0123abcd', NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (14, '018bcfe5-6800-7000-8000-000000000014', 1700058000, 'unknown', NULL, NULL, NULL, 'key-0', 'stt', 'ears', 'openai', 'ears-1', 1, 'ok', 200, NULL, NULL, NULL, NULL, NULL, NULL, 14, NULL, NULL, 60014, NULL, 'estimated', 17283938, 'price', 'pppppppppppppppppppppppppppppppp', 1, 14, NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL, 'provider_500', NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (15, '018bcfe5-6800-7000-8000-000000000015', 1700075000, '192.0.2.1', '\x00000000000000000000ffffc0000201', '10.0.0.1', NULL, 'key-1', 'rerank', 'order', 'cohere', 'order-1', 0, 'ok', 200, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 16, 'reported', 18518505, 'price', 'pppppppppppppppppppppppppppppppp', 1, 15, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.request_logs VALUES (16, '018bcfe5-6800-7000-8000-000000000016', 1700077000, '2001:db8::1', '\x20010db8000000000000000000000001', NULL, 'it''s a claim; ü', 'key-0', 'chat', 'llama', 'groq', 'llama-1', 1, 'ok', 200, NULL, 1600, 160, NULL, 16, 48, NULL, NULL, NULL, NULL, NULL, 'reported', 19753072, 'price', 'pppppppppppppppppppppppppppppppp', 1, 16, NULL, NULL, 8, NULL, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.responses VALUES ('resp_1', 'ip:192.0.2.1', 'openai', NULL, 'llama', 'request-1', 440, 4000000000);
INSERT INTO public.rollup_state VALUES (1, 11, 'active');
INSERT INTO public.schema_version VALUES (1);
INSERT INTO public.schema_version VALUES (2);
INSERT INTO public.schema_version VALUES (3);
INSERT INTO public.schema_version VALUES (4);
INSERT INTO public.schema_version VALUES (5);
INSERT INTO public.schema_version VALUES (6);
INSERT INTO public.schema_version VALUES (7);
INSERT INTO public.schema_version VALUES (8);
INSERT INTO public.schema_version VALUES (9);
INSERT INTO public.usage_by_ip VALUES (1, 3600, 1700024400, 'unknown', 1, 0, 0, 0, 0, 0, 0, 1005, 0, 0, 0, 0, 6172835, 1700025000, 1700025000);
INSERT INTO public.usage_by_ip VALUES (1, 3600, 1700049600, '2001:db8::1', 1, 0, 0, 0, 0, 0, 0, 0, 60010, 0, 0, 0, 12345670, 1700050000, 1700050000);
INSERT INTO public.usage_by_ip VALUES (1, 2592000, 1697760000, '192.0.2.1', 3, 1, 0, 1, 0, 0, 0, 1009, 60006, 4, 2, 0, 11111103, 1700006000, 1700033000);
INSERT INTO public.usage_by_ip VALUES (1, 86400, 1699920000, '2001:db8::1', 1, 0, 0, 0, 0, 0, 0, 1001, 0, 0, 2, 0, 1234567, 1700002000, 1700002000);
INSERT INTO public.usage_by_ip VALUES (1, 3600, 1700031600, '192.0.2.1', 1, 0, 0, 1, 0, 0, 0, 1009, 0, 0, 0, 0, 0, 1700033000, 1700033000);
INSERT INTO public.usage_by_ip VALUES (1, 0, 0, '192.0.2.1', 3, 1, 0, 1, 0, 0, 0, 1009, 60006, 4, 2, 0, 11111103, 1700006000, 1700033000);
INSERT INTO public.usage_by_ip VALUES (1, 86400, 1699920000, '192.0.2.1', 1, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 3703701, 1700006000, 1700006000);
INSERT INTO public.usage_by_ip VALUES (1, 0, 0, '2001:db8::1', 4, 0, 1, 0, 400, 40, 240, 1001, 60010, 8, 2, 3, 27160474, 1700002000, 1700050000);
INSERT INTO public.usage_by_ip VALUES (1, 3600, 1700049600, 'unknown', 1, 0, 0, 0, 0, 0, 0, 0, 0, 12, 2, 0, 13580237, 1700052000, 1700052000);
INSERT INTO public.usage_by_ip VALUES (1, 432000, 1699920000, 'unknown', 4, 0, 0, 0, 800, 80, 0, 1005, 60002, 12, 2, 3, 32098742, 1700004000, 1700052000);
INSERT INTO public.usage_by_ip VALUES (1, 3600, 1700028000, '2001:db8::1', 1, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0, 3, 8641969, 1700029000, 1700029000);
INSERT INTO public.usage_by_ip VALUES (1, 0, 0, 'unknown', 4, 0, 0, 0, 800, 80, 0, 1005, 60002, 12, 2, 3, 32098742, 1700004000, 1700052000);
INSERT INTO public.usage_by_ip VALUES (1, 3600, 1700024400, '192.0.2.1', 1, 1, 0, 0, 0, 0, 0, 0, 60006, 0, 2, 0, 7407402, 1700027000, 1700027000);
INSERT INTO public.usage_by_ip VALUES (1, 432000, 1699920000, '2001:db8::1', 4, 0, 1, 0, 400, 40, 240, 1001, 60010, 8, 2, 3, 27160474, 1700002000, 1700050000);
INSERT INTO public.usage_by_ip VALUES (1, 3600, 1700002800, 'unknown', 1, 0, 0, 0, 0, 0, 0, 0, 60002, 0, 0, 3, 2469134, 1700004000, 1700004000);
INSERT INTO public.usage_by_ip VALUES (1, 86400, 1700006400, '2001:db8::1', 3, 0, 1, 0, 400, 40, 240, 0, 60010, 8, 0, 3, 25925907, 1700008000, 1700050000);
INSERT INTO public.usage_by_ip VALUES (1, 86400, 1700006400, '192.0.2.1', 2, 1, 0, 1, 0, 0, 0, 1009, 60006, 0, 2, 0, 7407402, 1700027000, 1700033000);
INSERT INTO public.usage_by_ip VALUES (1, 86400, 1700006400, 'unknown', 3, 0, 0, 0, 800, 80, 0, 1005, 0, 12, 2, 0, 29629608, 1700025000, 1700052000);
INSERT INTO public.usage_by_ip VALUES (1, 3600, 1700002800, '192.0.2.1', 1, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 3703701, 1700006000, 1700006000);
INSERT INTO public.usage_by_ip VALUES (1, 3600, 1700028000, 'unknown', 1, 0, 0, 0, 800, 80, 0, 0, 0, 0, 0, 0, 9876536, 1700031000, 1700031000);
INSERT INTO public.usage_by_ip VALUES (1, 86400, 1699920000, 'unknown', 1, 0, 0, 0, 0, 0, 0, 0, 60002, 0, 0, 3, 2469134, 1700004000, 1700004000);
INSERT INTO public.usage_by_ip VALUES (1, 2592000, 1697760000, '2001:db8::1', 4, 0, 1, 0, 400, 40, 240, 1001, 60010, 8, 2, 3, 27160474, 1700002000, 1700050000);
INSERT INTO public.usage_by_ip VALUES (1, 3600, 1699999200, '2001:db8::1', 1, 0, 0, 0, 0, 0, 0, 1001, 0, 0, 2, 0, 1234567, 1700002000, 1700002000);
INSERT INTO public.usage_by_ip VALUES (1, 2592000, 1697760000, 'unknown', 4, 0, 0, 0, 800, 80, 0, 1005, 60002, 12, 2, 3, 32098742, 1700004000, 1700052000);
INSERT INTO public.usage_by_ip VALUES (1, 432000, 1699920000, '192.0.2.1', 3, 1, 0, 1, 0, 0, 0, 1009, 60006, 4, 2, 0, 11111103, 1700006000, 1700033000);
INSERT INTO public.usage_by_ip VALUES (1, 3600, 1700006400, '2001:db8::1', 1, 0, 0, 0, 400, 40, 240, 0, 0, 0, 0, 0, 4938268, 1700008000, 1700008000);
INSERT INTO public.usage_by_ip_model VALUES (1, 2592000, 1697760000, 'unknown', 'llama', 1, 0, 0, 0, 800, 80, 0, 0, 0, 0, 0, 0, 9876536, 1700031000, 1700031000);
INSERT INTO public.usage_by_ip_model VALUES (1, 86400, 1700006400, '2001:db8::1', 'order', 1, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0, 3, 8641969, 1700029000, 1700029000);
INSERT INTO public.usage_by_ip_model VALUES (1, 3600, 1700024400, '192.0.2.1', 'ears', 1, 1, 0, 0, 0, 0, 0, 0, 60006, 0, 2, 0, 7407402, 1700027000, 1700027000);
INSERT INTO public.usage_by_ip_model VALUES (1, 3600, 1700024400, 'unknown', 'voice', 1, 0, 0, 0, 0, 0, 0, 1005, 0, 0, 0, 0, 6172835, 1700025000, 1700025000);
INSERT INTO public.usage_by_ip_model VALUES (1, 3600, 1700049600, '2001:db8::1', 'ears', 1, 0, 0, 0, 0, 0, 0, 0, 60010, 0, 0, 0, 12345670, 1700050000, 1700050000);
INSERT INTO public.usage_by_ip_model VALUES (1, 3600, 1700006400, '2001:db8::1', 'llama', 1, 0, 0, 0, 400, 40, 240, 0, 0, 0, 0, 0, 4938268, 1700008000, 1700008000);
INSERT INTO public.usage_by_ip_model VALUES (1, 86400, 1699920000, 'unknown', 'ears', 1, 0, 0, 0, 0, 0, 0, 0, 60002, 0, 0, 3, 2469134, 1700004000, 1700004000);
INSERT INTO public.usage_by_ip_model VALUES (1, 2592000, 1697760000, '192.0.2.1', 'order', 1, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 3703701, 1700006000, 1700006000);
INSERT INTO public.usage_by_ip_model VALUES (1, 2592000, 1697760000, '2001:db8::1', 'order', 1, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0, 3, 8641969, 1700029000, 1700029000);
INSERT INTO public.usage_by_ip_model VALUES (1, 2592000, 1697760000, '2001:db8::1', 'ears', 1, 0, 0, 0, 0, 0, 0, 0, 60010, 0, 0, 0, 12345670, 1700050000, 1700050000);
INSERT INTO public.usage_by_ip_model VALUES (1, 86400, 1700006400, 'unknown', 'order', 1, 0, 0, 0, 0, 0, 0, 0, 0, 12, 2, 0, 13580237, 1700052000, 1700052000);
INSERT INTO public.usage_by_ip_model VALUES (1, 2592000, 1697760000, '192.0.2.1', 'ears', 1, 1, 0, 0, 0, 0, 0, 0, 60006, 0, 2, 0, 7407402, 1700027000, 1700027000);
INSERT INTO public.usage_by_ip_model VALUES (1, 86400, 1700006400, '2001:db8::1', 'ears', 1, 0, 0, 0, 0, 0, 0, 0, 60010, 0, 0, 0, 12345670, 1700050000, 1700050000);
INSERT INTO public.usage_by_ip_model VALUES (1, 86400, 1700006400, 'unknown', 'llama', 1, 0, 0, 0, 800, 80, 0, 0, 0, 0, 0, 0, 9876536, 1700031000, 1700031000);
INSERT INTO public.usage_by_ip_model VALUES (1, 2592000, 1697760000, '2001:db8::1', 'voice', 1, 0, 0, 0, 0, 0, 0, 1001, 0, 0, 2, 0, 1234567, 1700002000, 1700002000);
INSERT INTO public.usage_by_ip_model VALUES (1, 2592000, 1697760000, 'unknown', 'order', 1, 0, 0, 0, 0, 0, 0, 0, 0, 12, 2, 0, 13580237, 1700052000, 1700052000);
INSERT INTO public.usage_by_ip_model VALUES (1, 86400, 1700006400, '192.0.2.1', 'ears', 1, 1, 0, 0, 0, 0, 0, 0, 60006, 0, 2, 0, 7407402, 1700027000, 1700027000);
INSERT INTO public.usage_by_ip_model VALUES (1, 2592000, 1697760000, 'unknown', 'ears', 1, 0, 0, 0, 0, 0, 0, 0, 60002, 0, 0, 3, 2469134, 1700004000, 1700004000);
INSERT INTO public.usage_by_ip_model VALUES (1, 3600, 1700049600, 'unknown', 'order', 1, 0, 0, 0, 0, 0, 0, 0, 0, 12, 2, 0, 13580237, 1700052000, 1700052000);
INSERT INTO public.usage_by_ip_model VALUES (1, 3600, 1700002800, '192.0.2.1', 'order', 1, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 3703701, 1700006000, 1700006000);
INSERT INTO public.usage_by_ip_model VALUES (1, 2592000, 1697760000, '2001:db8::1', 'llama', 1, 0, 0, 0, 400, 40, 240, 0, 0, 0, 0, 0, 4938268, 1700008000, 1700008000);
INSERT INTO public.usage_by_ip_model VALUES (1, 2592000, 1697760000, '192.0.2.1', 'voice', 1, 0, 0, 1, 0, 0, 0, 1009, 0, 0, 0, 0, 0, 1700033000, 1700033000);
INSERT INTO public.usage_by_ip_model VALUES (1, 86400, 1700006400, '192.0.2.1', 'voice', 1, 0, 0, 1, 0, 0, 0, 1009, 0, 0, 0, 0, 0, 1700033000, 1700033000);
INSERT INTO public.usage_by_ip_model VALUES (1, 86400, 1700006400, 'unknown', 'voice', 1, 0, 0, 0, 0, 0, 0, 1005, 0, 0, 0, 0, 6172835, 1700025000, 1700025000);
INSERT INTO public.usage_by_ip_model VALUES (1, 2592000, 1697760000, 'unknown', 'voice', 1, 0, 0, 0, 0, 0, 0, 1005, 0, 0, 0, 0, 6172835, 1700025000, 1700025000);
INSERT INTO public.usage_by_ip_model VALUES (1, 3600, 1699999200, '2001:db8::1', 'voice', 1, 0, 0, 0, 0, 0, 0, 1001, 0, 0, 2, 0, 1234567, 1700002000, 1700002000);
INSERT INTO public.usage_by_ip_model VALUES (1, 3600, 1700028000, 'unknown', 'llama', 1, 0, 0, 0, 800, 80, 0, 0, 0, 0, 0, 0, 9876536, 1700031000, 1700031000);
INSERT INTO public.usage_by_ip_model VALUES (1, 86400, 1699920000, '192.0.2.1', 'order', 1, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 3703701, 1700006000, 1700006000);
INSERT INTO public.usage_by_ip_model VALUES (1, 3600, 1700028000, '2001:db8::1', 'order', 1, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0, 3, 8641969, 1700029000, 1700029000);
INSERT INTO public.usage_by_ip_model VALUES (1, 86400, 1699920000, '2001:db8::1', 'voice', 1, 0, 0, 0, 0, 0, 0, 1001, 0, 0, 2, 0, 1234567, 1700002000, 1700002000);
INSERT INTO public.usage_by_ip_model VALUES (1, 3600, 1700002800, 'unknown', 'ears', 1, 0, 0, 0, 0, 0, 0, 0, 60002, 0, 0, 3, 2469134, 1700004000, 1700004000);
INSERT INTO public.usage_by_ip_model VALUES (1, 86400, 1700006400, '2001:db8::1', 'llama', 1, 0, 0, 0, 400, 40, 240, 0, 0, 0, 0, 0, 4938268, 1700008000, 1700008000);
INSERT INTO public.usage_by_ip_model VALUES (1, 3600, 1700031600, '192.0.2.1', 'voice', 1, 0, 0, 1, 0, 0, 0, 1009, 0, 0, 0, 0, 0, 1700033000, 1700033000);
INSERT INTO public.usage_by_model VALUES (1, 86400, 1699920000, 'voice', 'openai', 'tts', 1, 0, 0, 0, 0, 0, 0, 1001, 0, 0, 2, 0, 1234567, 1700002000, 1700002000);
INSERT INTO public.usage_by_model VALUES (1, 86400, 1699920000, 'order', 'cohere', 'rerank', 1, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 3703701, 1700006000, 1700006000);
INSERT INTO public.usage_by_model VALUES (1, 3600, 1699999200, 'voice', 'openai', 'tts', 1, 0, 0, 0, 0, 0, 0, 1001, 0, 0, 2, 0, 1234567, 1700002000, 1700002000);
INSERT INTO public.usage_by_model VALUES (1, 0, 0, 'voice', 'openai', 'tts', 3, 0, 0, 1, 0, 0, 0, 3015, 0, 0, 2, 0, 7407402, 1700002000, 1700033000);
INSERT INTO public.usage_by_model VALUES (1, 3600, 1700002800, 'ears', 'openai', 'stt', 1, 0, 0, 0, 0, 0, 0, 0, 60002, 0, 0, 3, 2469134, 1700004000, 1700004000);
INSERT INTO public.usage_by_model VALUES (1, 3600, 1700031600, 'voice', 'openai', 'tts', 1, 0, 0, 1, 0, 0, 0, 1009, 0, 0, 0, 0, 0, 1700033000, 1700033000);
INSERT INTO public.usage_by_model VALUES (1, 2592000, 1697760000, 'order', 'cohere', 'rerank', 3, 0, 1, 0, 0, 0, 0, 0, 0, 24, 2, 3, 25925907, 1700006000, 1700052000);
INSERT INTO public.usage_by_model VALUES (1, 86400, 1700006400, 'llama', 'groq', 'chat', 2, 0, 0, 0, 1200, 120, 240, 0, 0, 0, 0, 0, 14814804, 1700008000, 1700031000);
INSERT INTO public.usage_by_model VALUES (1, 2592000, 1697760000, 'voice', 'openai', 'tts', 3, 0, 0, 1, 0, 0, 0, 3015, 0, 0, 2, 0, 7407402, 1700002000, 1700033000);
INSERT INTO public.usage_by_model VALUES (1, 0, 0, 'ears', 'openai', 'stt', 3, 1, 0, 0, 0, 0, 0, 0, 180018, 0, 2, 3, 22222206, 1700004000, 1700050000);
INSERT INTO public.usage_by_model VALUES (1, 86400, 1699920000, 'ears', 'openai', 'stt', 1, 0, 0, 0, 0, 0, 0, 0, 60002, 0, 0, 3, 2469134, 1700004000, 1700004000);
INSERT INTO public.usage_by_model VALUES (1, 2592000, 1697760000, 'llama', 'groq', 'chat', 2, 0, 0, 0, 1200, 120, 240, 0, 0, 0, 0, 0, 14814804, 1700008000, 1700031000);
INSERT INTO public.usage_by_model VALUES (1, 2592000, 1697760000, 'ears', 'openai', 'stt', 3, 1, 0, 0, 0, 0, 0, 0, 180018, 0, 2, 3, 22222206, 1700004000, 1700050000);
INSERT INTO public.usage_by_model VALUES (1, 0, 0, 'order', 'cohere', 'rerank', 3, 0, 1, 0, 0, 0, 0, 0, 0, 24, 2, 3, 25925907, 1700006000, 1700052000);
INSERT INTO public.usage_by_model VALUES (1, 3600, 1700024400, 'ears', 'openai', 'stt', 1, 1, 0, 0, 0, 0, 0, 0, 60006, 0, 2, 0, 7407402, 1700027000, 1700027000);
INSERT INTO public.usage_by_model VALUES (1, 86400, 1700006400, 'ears', 'openai', 'stt', 2, 1, 0, 0, 0, 0, 0, 0, 120016, 0, 2, 0, 19753072, 1700027000, 1700050000);
INSERT INTO public.usage_by_model VALUES (1, 3600, 1700028000, 'llama', 'groq', 'chat', 1, 0, 0, 0, 800, 80, 0, 0, 0, 0, 0, 0, 9876536, 1700031000, 1700031000);
INSERT INTO public.usage_by_model VALUES (1, 86400, 1700006400, 'voice', 'openai', 'tts', 2, 0, 0, 1, 0, 0, 0, 2014, 0, 0, 0, 0, 6172835, 1700025000, 1700033000);
INSERT INTO public.usage_by_model VALUES (1, 3600, 1700049600, 'order', 'cohere', 'rerank', 1, 0, 0, 0, 0, 0, 0, 0, 0, 12, 2, 0, 13580237, 1700052000, 1700052000);
INSERT INTO public.usage_by_model VALUES (1, 0, 0, 'llama', 'groq', 'chat', 2, 0, 0, 0, 1200, 120, 240, 0, 0, 0, 0, 0, 14814804, 1700008000, 1700031000);
INSERT INTO public.usage_by_model VALUES (1, 3600, 1700028000, 'order', 'cohere', 'rerank', 1, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0, 3, 8641969, 1700029000, 1700029000);
INSERT INTO public.usage_by_model VALUES (1, 3600, 1700006400, 'llama', 'groq', 'chat', 1, 0, 0, 0, 400, 40, 240, 0, 0, 0, 0, 0, 4938268, 1700008000, 1700008000);
INSERT INTO public.usage_by_model VALUES (1, 3600, 1700002800, 'order', 'cohere', 'rerank', 1, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 3703701, 1700006000, 1700006000);
INSERT INTO public.usage_by_model VALUES (1, 3600, 1700024400, 'voice', 'openai', 'tts', 1, 0, 0, 0, 0, 0, 0, 1005, 0, 0, 0, 0, 6172835, 1700025000, 1700025000);
INSERT INTO public.usage_by_model VALUES (1, 3600, 1700049600, 'ears', 'openai', 'stt', 1, 0, 0, 0, 0, 0, 0, 0, 60010, 0, 0, 0, 12345670, 1700050000, 1700050000);
INSERT INTO public.usage_by_model VALUES (1, 86400, 1700006400, 'order', 'cohere', 'rerank', 2, 0, 1, 0, 0, 0, 0, 0, 0, 20, 2, 3, 22222206, 1700029000, 1700052000);
SELECT pg_catalog.setval('public.request_logs_seq_seq', 16, true);
SELECT pg_catalog.setval('public.schema_version_version_seq', 1, false);
ALTER TABLE ONLY public.addresses
    ADD CONSTRAINT addresses_pkey PRIMARY KEY (ip);
ALTER TABLE ONLY public.billing_lines
    ADD CONSTRAINT billing_lines_pkey PRIMARY KEY (number, ip, model);
ALTER TABLE ONLY public.billing_periods
    ADD CONSTRAINT billing_periods_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.billing_periods
    ADD CONSTRAINT billing_periods_reference UNIQUE (reference);
ALTER TABLE ONLY public.labels
    ADD CONSTRAINT labels_pkey PRIMARY KEY (target);
ALTER TABLE ONLY public.prices
    ADD CONSTRAINT prices_pkey PRIMARY KEY (price_id);
ALTER TABLE ONLY public.request_logs
    ADD CONSTRAINT request_logs_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.request_logs
    ADD CONSTRAINT request_logs_request_id UNIQUE (request_id);
ALTER TABLE ONLY public.responses
    ADD CONSTRAINT responses_pkey PRIMARY KEY (response_id, owner);
ALTER TABLE ONLY public.rollup_state
    ADD CONSTRAINT rollup_state_pkey PRIMARY KEY (generation);
ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.usage_by_ip_model
    ADD CONSTRAINT usage_by_ip_model_pkey PRIMARY KEY (generation, span_s, begins_at, ip, model);
ALTER TABLE ONLY public.usage_by_ip
    ADD CONSTRAINT usage_by_ip_pkey PRIMARY KEY (generation, span_s, begins_at, ip);
ALTER TABLE ONLY public.usage_by_key_model
    ADD CONSTRAINT usage_by_key_model_pkey PRIMARY KEY (generation, span_s, begins_at, api_key_id, model);
ALTER TABLE ONLY public.usage_by_model
    ADD CONSTRAINT usage_by_model_pkey PRIMARY KEY (generation, span_s, begins_at, model, provider, kind);
CREATE INDEX addresses_ip_key ON public.addresses USING btree (ip_key);
CREATE INDEX labels_revision ON public.labels USING btree (revision);
CREATE INDEX request_logs_ip_started_at ON public.request_logs USING btree (ip, started_at);
CREATE INDEX request_logs_started_at ON public.request_logs USING btree (started_at);
CREATE INDEX responses_expires_at ON public.responses USING btree (expires_at);
