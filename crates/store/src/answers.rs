//! Answers that can be asked for later, and continued: responses, and answers whose client may go away.

use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use crate::StoreError;
use crate::audit::{self, Deed};
use crate::database::{Database, Store};
use crate::deliveries::{self, Delivery};
use crate::kind::Kind;
use crate::nodes::Node;

/// Where an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerState {
    /// It is to be computed, and no node has begun.
    Waiting,
    /// A node computes it.
    Claimed,
    /// It is as it will be.
    Ended,
}

impl AnswerState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::Ended => "ended",
        }
    }

    pub(crate) fn of(name: &str) -> Self {
        match name {
            "waiting" => Self::Waiting,
            "claimed" => Self::Claimed,
            _ => Self::Ended,
        }
    }
}

/// An answer that is to be kept.
#[derive(Clone, Debug, Default)]
pub struct NewAnswer {
    /// Its name.
    pub id: String,
    /// Whose it is; empty where there are no keys.
    pub owner: String,
    /// What kind of answer it is, such as `response`.
    pub kind: String,
    /// How it was asked for, if it may have to be computed by another node, or after a restart.
    pub request: Option<String>,
    /// The answer as its API has it.
    pub body: String,
    /// What was asked, as its API has it.
    pub items: String,
    /// What was asked and answered, as chat templates have it.
    pub messages: String,
}

/// An answer that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its name.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// What kind of answer it is.
    pub kind: String,
    /// Where it stands.
    pub state: AnswerState,
    /// Whether somebody has cancelled it.
    pub is_cancelled: bool,
    /// How it was asked for, as long as it is not there.
    pub request: Option<String>,
    /// The answer as its API has it.
    pub body: String,
    /// What was asked, as its API has it.
    pub items: String,
    /// What was asked and answered, as chat templates have it.
    pub messages: String,
    /// When it was asked for, in milliseconds since 1970.
    pub created_at: i64,
}

pub(crate) const COLUMNS: &str = "id, owner, kind, state, cancelled, request, body, items, messages, created_at";

pub(crate) fn answer(row: &AnyRow) -> Result<Answer, StoreError> {
    Ok(Answer {
        id: row.try_get("id")?,
        owner: row.try_get("owner")?,
        kind: row.try_get("kind")?,
        state: AnswerState::of(row.try_get("state")?),
        is_cancelled: row.try_get::<i64, _>("cancelled")? != 0,
        request: row.try_get("request")?,
        body: row.try_get("body")?,
        items: row.try_get("items")?,
        messages: row.try_get("messages")?,
        created_at: row.try_get("created_at")?,
    })
}

fn bytes_of(new: &NewAnswer) -> i64 {
    let texts = [&new.body, &new.items, &new.messages].map(String::len).iter().sum::<usize>();
    i64::try_from(texts + new.request.as_ref().map_or(0, String::len)).unwrap_or(i64::MAX)
}

impl Store {
    /// Keeps an answer: one that is there, or one that `by` computes from now on.
    ///
    /// # Errors
    /// The database, and that the node is not alive.
    pub async fn put_answer(&self, new: &NewAnswer, by: Option<&Node>, deed: Option<&Deed>) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        if let Some(node) = by {
            database.hold(&mut all, node).await?;
        }
        let sql = "INSERT INTO answers
                (id, owner, kind, state, request, body, items, messages, bytes, claimed_by, cancelled, created_at, used_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, {now}, {now})";
        sqlx::query(database.sql(sql))
            .bind(&new.id)
            .bind(&new.owner)
            .bind(&new.kind)
            .bind(if by.is_some() { AnswerState::Claimed } else { AnswerState::Ended }.name())
            .bind(&new.request)
            .bind(&new.body)
            .bind(&new.items)
            .bind(&new.messages)
            .bind(bytes_of(new))
            .bind(by.map(|node| node.id.clone()))
            .execute(&mut *all)
            .await?;
        if let Some(deed) = deed {
            audit::note(database, &mut all, deed).await?;
        }
        Ok(all.commit().await?)
    }

    /// What has become of an answer that a node computes. `messages` are what was asked and answered.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if it is not the node's any more, or has been deleted; and the database.
    pub async fn finish_answer(
        &self,
        node: &Node,
        (id, body, messages): (&str, &str, &str),
        (deed, event): (Option<&Deed>, &Delivery),
    ) -> Result<(), StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        let sql = "UPDATE answers SET state = 'ended', request = NULL, body = $3, messages = $4, claimed_by = NULL,
                bytes = $5 + LENGTH(items), used_at = {now} WHERE id = $1 AND claimed_by = $2 AND state = 'claimed'";
        let changed = sqlx::query(database.sql(sql))
            .bind(id)
            .bind(&node.id)
            .bind(body)
            .bind(messages)
            .bind(i64::try_from(body.len() + messages.len()).unwrap_or(i64::MAX / 2))
            .execute(&mut *all)
            .await?;
        if changed.rows_affected() == 0 {
            return Err(StoreError::Fenced);
        }
        if let Some(deed) = deed {
            audit::note(database, &mut all, deed).await?;
        }
        deliveries::enqueue(database, &mut all, event).await?;
        Ok(all.commit().await?)
    }

    /// An answer, if it is its owner's. Whoever asks for it keeps it alive.
    ///
    /// # Errors
    /// The database.
    pub async fn answer(&self, owner: &str, id: &str) -> Result<Option<Answer>, StoreError> {
        let database = self.database().await?;
        let sql = format!("UPDATE answers SET used_at = {{now}} WHERE id = $1 AND owner = $2 RETURNING {COLUMNS}");
        let row = sqlx::query(database.sql(&sql)).bind(id).bind(owner).fetch_optional(&database.pool).await?;
        row.as_ref().map(answer).transpose()
    }

    /// Cancels an answer that is not there yet; false if there is none to cancel. Whoever computes it is told so by
    /// [`cancelled_answers`](Self::cancelled_answers).
    ///
    /// # Errors
    /// The database.
    pub async fn cancel_answer(&self, owner: &str, id: &str, deed: &Deed) -> Result<bool, StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        let sql =
            "UPDATE answers SET cancelled = 1 WHERE id = $1 AND owner = $2 AND state <> 'ended' AND cancelled = 0";
        let changed = sqlx::query(sql).bind(id).bind(owner).execute(&mut *all).await?.rows_affected() > 0;
        if changed {
            audit::note(database, &mut all, deed).await?;
        }
        all.commit().await?;
        Ok(changed)
    }

    /// Forgets an answer; false if its owner has none of this name.
    ///
    /// # Errors
    /// The database.
    pub async fn delete_answer(&self, owner: &str, id: &str, deed: &Deed) -> Result<bool, StoreError> {
        let database = self.database().await?;
        let mut all = database.begin().await?;
        let deleted = sqlx::query("DELETE FROM answers WHERE id = $1 AND owner = $2");
        if deleted.bind(id).bind(owner).execute(&mut *all).await?.rows_affected() == 0 {
            return Ok(false);
        }
        forget_events(&mut all, id).await?;
        audit::note(database, &mut all, deed).await?;
        all.commit().await?;
        Ok(true)
    }
}

async fn forget_events(all: &mut Transaction<'static, Any>, id: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM answer_events WHERE answer = $1").bind(id).execute(&mut **all).await?;
    Ok(())
}

/// Makes sure, for the length of a transaction, that an answer is computed by a node.
pub(crate) async fn own(
    database: &Database,
    all: &mut Transaction<'static, Any>,
    node: &Node,
    id: &str,
) -> Result<(), StoreError> {
    let lock = if database.kind == Kind::Postgres { "FOR SHARE" } else { "" };
    let sql = format!("SELECT id FROM answers WHERE id = $1 AND claimed_by = $2 AND state = 'claimed' {lock}");
    let row = sqlx::query(database.sql(&sql)).bind(id).bind(&node.id).fetch_optional(&mut **all).await?;
    row.map(|_| ()).ok_or(StoreError::Fenced)
}
