//! Runs that are made again, meet, or are cut off.
