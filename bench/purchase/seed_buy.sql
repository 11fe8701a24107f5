select seed.process_story_purchase(
    bench.reader(:reader), bench.story(:story), bench.creator(:story), 5, array[:chapter::integer], 'chapter');
