-- Processes that do work. What one has claimed is free again when its time is over.
CREATE TABLE nodes (
    id TEXT PRIMARY KEY,
    started_at BIGINT NOT NULL,
    alive_until BIGINT NOT NULL
);

-- Files that were uploaded, and those that batches have written.
CREATE TABLE files (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    purpose TEXT NOT NULL,
    state TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    written_by TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX files_of_owner ON files (owner, created_at, id);

CREATE TABLE file_chunks (
    file TEXT NOT NULL,
    number BIGINT NOT NULL,
    content {bytes} NOT NULL,
    PRIMARY KEY (file, number)
);

CREATE TABLE batches (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    input_file TEXT NOT NULL,
    state TEXT NOT NULL,
    -- What it will be when it is finalized: completed, expired or cancelled.
    outcome TEXT NOT NULL,
    completion_window TEXT NOT NULL,
    metadata TEXT NOT NULL,
    output_expires_after BIGINT,
    errors TEXT NOT NULL,
    output_file TEXT,
    error_file TEXT,
    total BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    claimed_by TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    in_progress_at BIGINT,
    finalizing_at BIGINT,
    completed_at BIGINT,
    failed_at BIGINT,
    expired_at BIGINT,
    cancelling_at BIGINT,
    cancelled_at BIGINT
);
CREATE INDEX batches_of_owner ON batches (owner, created_at, id);
CREATE INDEX batches_in_state ON batches (state, created_at);

-- Requests of batches. Their text stands in the input file, from `start` on.
CREATE TABLE batch_lines (
    batch TEXT NOT NULL,
    number BIGINT NOT NULL,
    -- Lines that begin alike stand together in this order.
    run_order BIGINT NOT NULL,
    custom_id TEXT NOT NULL,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    state TEXT NOT NULL,
    claimed_by TEXT,
    result TEXT,
    PRIMARY KEY (batch, number)
);
CREATE INDEX batch_lines_to_run ON batch_lines (batch, state, run_order);
CREATE INDEX batch_lines_claimed ON batch_lines (claimed_by);

-- Answers that can be asked for later, and those that are still to be computed.
CREATE TABLE answers (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    -- How it was asked for, as long as it may have to be computed again.
    request TEXT,
    body TEXT NOT NULL,
    items TEXT NOT NULL,
    messages TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    claimed_by TEXT,
    cancelled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL
);
CREATE INDEX answers_of_owner ON answers (owner, used_at);
CREATE INDEX answers_in_state ON answers (state, created_at);
CREATE INDEX answers_claimed ON answers (claimed_by);

CREATE TABLE answer_events (
    answer TEXT NOT NULL,
    number BIGINT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (answer, number)
);

-- Webhooks to be sent. They are written in the transaction of what they tell.
CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (state, next_at);

CREATE TABLE audit (
    id {serial},
    at BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_of_tenant ON audit (tenant, id);
