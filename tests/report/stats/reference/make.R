# The reference values of test_reference.py: the same tables analysed in R, which shares no code with this project.
#   Rscript make.R        writes values.json next to the tables; R 4.2, emmeans 1.8
suppressMessages(library(emmeans))
out <- list()
grid <- read.csv("grid.csv", stringsAsFactors = TRUE)
grid$b <- factor(grid$b)
grid$seed <- factor(grid$seed)
grid$cell <- interaction(grid$a, grid$b, grid$c)

# Replication over seeds: combinations and seeds as blocks. Estimates and Tukey's intervals by emmeans.
fit <- lm(y ~ a * b * c + seed, grid)
pairs_of <- function(fit, axis, level) {
  means <- suppressMessages(emmeans(fit, axis))
  found <- summary(pairs(means), infer = TRUE, level = level, adjust = "tukey")
  list(contrast = as.character(found$contrast), estimate = found$estimate, se = found$SE, df = found$df,
       low = found$lower.CL, high = found$upper.CL, p = found$p.value)
}
out$grid <- lapply(c(a = "a", b = "b", c = "c"), function(axis) pairs_of(fit, axis, 1 - 0.04 / 3))
table <- anova(fit)
out$anova <- list(term = rownames(table), df = table$Df, f = table$`F value`, p = table$`Pr(>F)`, ss = table$`Sum Sq`)

# Gaps: main effects and two-way interactions, and the lack of fit of the combinations beyond them.
some <- grid[!(grid$a == "w" & grid$b == "1" & grid$c == "p") & !(grid$a == "x" & grid$b == "2" & grid$c == "q"), ]
two <- lm(y ~ (a + b + c)^2 + seed, some)
full <- lm(y ~ cell + seed, droplevels(some))
lack <- anova(two, full)
out$gaps <- list(f = lack$F[2], df = c(lack$Df[2], full$df.residual), p = lack$`Pr(>F)`[2], a = pairs_of(two, "a", 0.95))

# Holm over axes.
out$holm <- p.adjust(c(0.012, 0.04, 0.03, 0.005, 0.5), "holm")

# The externally studentised residuals.
out$studentised <- max(abs(rstudent(lm(y ~ cell + seed, grid))))

# A rate that is nested in the optimizer: emmeans' own nesting, which gives nested levels equal weight.
nested <- read.csv("nested.csv", stringsAsFactors = TRUE)
nested$seed <- factor(nested$seed)
rates <- list(adam = c("r1e-3", "r3e-3"), sgd = c("r0.05", "r0.1", "r0.2"))
fit <- lm(y ~ (optimizer + optimizer:rate) * augment * head + seed, nested)
grid_of <- suppressMessages(ref_grid(fit, nesting = list(rate = "optimizer")))
differences <- function(axis, by = NULL) {
  found <- suppressMessages(summary(pairs(emmeans(grid_of, axis, by = by))))
  found$axis <- axis
  found
}
in_each <- suppressMessages(summary(pairs(emmeans(grid_of, ~ rate | optimizer))))
in_each$axis <- paste0("rate in ", in_each$optimizer)
columns <- c("axis", "contrast", "estimate", "SE", "df")
# All other axes are averaged over the combinations of optimizer and rate.
nested$both <- factor(nested$rate, levels = unlist(rates))
fit <- lm(y ~ both * augment * head + seed, nested)
others <- do.call(rbind, lapply(c("augment", "head"), function(axis) {
  found <- suppressMessages(summary(pairs(emmeans(fit, axis))))
  found$axis <- axis
  found[columns]
}))
found <- rbind(differences("optimizer")[columns], in_each[columns], others)
out$nested <- list(axis = found$axis, contrast = as.character(found$contrast), estimate = found$estimate, se = found$SE,
                   df = found$df)
# Interactions, as contrasts of the same combinations.
over <- list(optimizer = list(c(3, 3, -2, -2, -2) / 6), "rate in adam" = list(c(1, -1, 0, 0, 0)),
             "rate in sgd" = list(c(0, 0, 1, -1, 0), c(0, 0, 0, 1, -1)))
tests <- do.call(rbind, lapply(names(over), function(name) do.call(rbind, lapply(c("augment", "head"), function(with) {
  means <- suppressMessages(emmeans(fit, c("both", with)))
  sizes <- nlevels(nested[[with]])
  along <- lapply(seq_len(sizes - 1), function(k) diag(sizes)[k, ] - diag(sizes)[k + 1, ])
  weights <- unlist(lapply(along, function(a) lapply(over[[name]], function(o) as.vector(outer(o, a)))), recursive = FALSE)
  found <- contrast(means, setNames(weights, seq_along(weights)))
  estimate <- summary(found)$estimate
  f <- drop(estimate %*% solve(vcov(found), estimate)) / length(estimate)
  data.frame(first = name, second = with, f = f, df1 = length(estimate), df2 = fit$df.residual)
}))))
out$nested_interactions <- as.list(tests)

json <- function(x) {
  if (is.list(x)) paste0("{", paste0('"', names(x), '": ', sapply(x, json), collapse = ", "), "}")
  else {
    text <- if (is.character(x)) paste0('"', x, '"') else ifelse(is.na(x), "null", sprintf("%.17g", x))
    paste0("[", paste(text, collapse = ", "), "]")
  }
}
writeLines(json(out), "values.json")
