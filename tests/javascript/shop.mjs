// What pytest tells the scripts: where the API is, the story on sale, and tokens.
export const shop = JSON.parse(process.env.SHOP);

// The arguments that buy one chapter.
export const chapter = (number, more = {}) => ({
  story_id: shop.story,
  purchase_type: "chapter",
  chapters: [number],
  ...more,
});
