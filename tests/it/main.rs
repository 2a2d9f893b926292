//! Integration tests, one binary: the real parts on both databases, and the real program from outside.

mod support;

mod house;
mod api;
mod audience;
mod backtest;
mod backup;
mod clicks;
mod console;
mod journal;
mod mail;
mod retention;
mod rules;
mod doctor;
mod effects;
mod evaluate;
mod faults;
mod import;
mod main_job;
mod schema;
mod outbox;
mod occasions;
mod planner;
mod plans;
mod properties;
mod scoring;
mod serve;
mod shadow;
mod signing;
mod steps;
mod tracking;
mod unsubscribe;
mod weak;
mod zones;
