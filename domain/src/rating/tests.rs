//! Tests of rating by example and by property.
