//! What types cannot say: references, ranges, combinations.
