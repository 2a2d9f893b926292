//! The schema is the same on both databases, and holds on its own what no code may break.

use homing::db::DbError;
use homing::stores;

use crate::on_both_backends;

on_both_backends! {
    async fn every_test_has_a_migrated_database_with_the_default_store(test: TestDb) {
        let pending = test.db.pending_migrations().unwrap();
        let stores = test.db.read(|conn| stores::store::all(conn).map_err(DbError::from)).await.unwrap();
        assert_eq!((pending, stores.len(), stores[0].key.as_str()), (0, 1, "default"));
    }
}
