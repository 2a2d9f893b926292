//! SQL of the users' table.

use diesel::prelude::*;

use super::{PasswordHash, Role, User};
use crate::db::Conn;
use crate::db::schema::users;
use crate::primitives::{StoreId, Timestamp, UserId};

#[derive(HasQuery)]
#[diesel(table_name = users)]
struct Row {
    id: UserId,
    store_id: StoreId,
    email: String,
    role: Role,
    password_hash: PasswordHash,
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            store: row.store_id,
            email: row.email,
            role: row.role,
            password: row.password_hash,
        }
    }
}

pub fn find(conn: &mut Conn, id: UserId) -> QueryResult<Option<User>> {
    Row::query().filter(users::id.eq(id)).get_result(conn).optional().map(|row| row.map(User::from))
}

/// By address, in lower case.
pub fn find_by_email(conn: &mut Conn, email: &str) -> QueryResult<Option<User>> {
    Row::query()
        .filter(users::email.eq(email))
        .get_result(conn)
        .optional()
        .map(|row| row.map(User::from))
}

pub fn insert(conn: &mut Conn, user: &User, now: Timestamp) -> QueryResult<()> {
    diesel::insert_into(users::table)
        .values((
            users::id.eq(user.id),
            users::store_id.eq(user.store),
            users::email.eq(&user.email),
            users::role.eq(user.role),
            users::password_hash.eq(&user.password),
            users::created_at.eq(now),
        ))
        .execute(conn)
        .map(|_| ())
}

/// Role, password and store as they are now.
pub fn update(conn: &mut Conn, user: &User) -> QueryResult<()> {
    diesel::update(users::table.filter(users::id.eq(user.id)))
        .set((
            users::store_id.eq(user.store),
            users::role.eq(user.role),
            users::password_hash.eq(&user.password),
        ))
        .execute(conn)
        .map(|_| ())
}
