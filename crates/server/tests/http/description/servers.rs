//! Servers with tiny models of each kind, and the description's operations.

use axum::Router;
use parkade_core::EngineConfig;
use parkade_server::{ServerConfig, router};
use parkade_store::{Place, StoreConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::schema::{Checker, Others};
use crate::embedders::{pooling, two_way};
use crate::support::{Answer, get, post, state_with, upload};
use crate::texts::api_of;

/// A server for each kind of model.
pub struct Servers {
    pub document: Value,
    chat: Router,
    embedder: Router,
    reranker: Router,
    /// A file of a batch, and a batch of it.
    pub file: String,
    pub batch: String,
    _store: TempDir,
}

/// A `POST` of the description.
pub struct Operation {
    pub path: String,
    pub described: Value,
}

impl Operation {
    pub fn body(&self) -> &Value {
        &self.described["requestBody"]["content"]["application/json"]["schema"]
    }

    pub fn example(&self) -> Value {
        self.described["requestBody"]["content"]["application/json"]["example"].clone()
    }

    /// The fields that are described, with their schemas.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        let properties = self.body()["properties"].as_object().expect("fields");
        properties.iter().map(|(name, schema)| (name.as_str(), schema))
    }
}

impl Servers {
    pub async fn start() -> Servers {
        let folder = TempDir::new().expect("a folder");
        let store = StoreConfig::at(Place::Sqlite(folder.path().join("parkade.db")));
        let config = ServerConfig { store: Some(store), ..ServerConfig::default() };
        let chat = router(state_with(config).0);
        let file = upload(&chat, "lines.jsonl", b"{}").await.json();
        let file = file["id"].as_str().expect("an id").to_owned();
        let wanted = json!({"input_file_id": file, "endpoint": "/v1/completions", "completion_window": "24h"});
        let batch = post(&chat, "/v1/batches", &wanted).await.json();
        let batch = batch["id"].as_str().expect("an id").to_owned();
        let document = get(&chat, "/openapi.json").await.json();
        let embedder = api_of(&[pooling(1), two_way()], EngineConfig::default());
        let reranker = api_of(&[pooling(4), two_way()], EngineConfig::default());
        Servers { document, chat, embedder, reranker, file, batch, _store: folder }
    }

    /// The server whose model does what a path asks for.
    pub fn at(&self, path: &str) -> &Router {
        match path {
            "/v1/embeddings" => &self.embedder,
            "/v1/rerank" => &self.reranker,
            _ => &self.chat,
        }
    }

    /// The operations that have bodies.
    pub fn operations(&self) -> Vec<Operation> {
        let paths = self.document["paths"].as_object().expect("paths");
        let is_json = |methods: &Value| methods["post"]["requestBody"]["content"].get("application/json").is_some();
        let with_body = paths.iter().filter(|(_, methods)| is_json(methods));
        let operation = |(path, methods): (&String, &Value)| {
            let mut described = methods["post"].clone();
            let example = &mut described["requestBody"]["content"]["application/json"]["example"];
            if example.get("input_file_id").is_some() {
                example["input_file_id"] = self.file.clone().into();
            }
            Operation { path: path.clone(), described }
        };
        with_body.map(operation).collect()
    }

    /// Checks that an answer keeps to what is described for its status and type.
    pub fn check(&self, described: &Value, answer: &Answer) -> Result<(), String> {
        let status = answer.status.as_u16().to_string();
        let response = described["responses"].get(&status);
        let response = response.ok_or_else(|| format!("{status} is not described: {}", answer.text))?;
        let Some(media) = answer.header("content-type").map(|media| media.split(';').next().unwrap_or(media)) else {
            return if answer.text.is_empty() { Ok(()) } else { Err("a body without a type".to_owned()) };
        };
        let form = response["content"].get(media);
        let form = form.ok_or_else(|| format!("{status} as {media} is not described: {}", answer.text))?;
        let checker = Checker { document: &self.document, others: Others::Refused };
        match media {
            "application/json" => checker.check(&form["schema"], &answer.json(), "answer"),
            "text/event-stream" => {
                let check = |event: &Value| checker.check(&form["x-parkade-event"], event, "event");
                answer.events().0.iter().try_for_each(check)
            }
            _ => Ok(()),
        }
    }
}
