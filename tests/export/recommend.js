const { items } = await local.recommend([["home", 5], ["cat-1", 20], ["item-12", 90]], ["item-3"], 10);
items.forEach(({ item, probability }) => console.log(item, probability.toFixed(4)));
