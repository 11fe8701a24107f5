drop type app.purchase_answer cascade;
drop table app.story_entitlements cascade;
drop table app.story_purchases cascade;
drop table app.story_authors cascade;
drop table app.story_pricing cascade;
drop table app.chapter_texts cascade;
drop table app.chapters cascade;
drop table app.stories cascade;
