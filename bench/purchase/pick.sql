-- Which purchase comes next: the same walk for every variant, through all (reader, story, chapter)
-- in a shuffled order, so that nothing is bought twice and each reader's turn comes at random.
\set place :start + :turn * :clients + :client_id
\set turn :turn + 1
\set pick permute(:place, :readers * :stories * :chapters, 20261121)
\set reader :pick % :readers
\set story :first_story + (:pick / :readers) % :stories
\set chapter :first_chapter + :pick / (:readers * :stories)
-- A key is used once in the whole run; the walks of the star and of the others are two.
\set request :pick * 2 + :first_story
