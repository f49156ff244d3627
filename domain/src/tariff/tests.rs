//! Tests of tariffs by example and by property.
