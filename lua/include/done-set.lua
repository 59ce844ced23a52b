-- An aggregation set that is finished, and too large to be deleted at once, stays in the list of sets until it is empty,
-- with this end of its name, and a time limit that never comes (2286): nobody takes it back, Go's servers neither.
local done_suffix, done_score = '-done', '9999999999'
