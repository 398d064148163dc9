def figures(m):
    return "\n".join(
        f"{x.sample.file} {x.sample.number} {x.reader} {x.score.cer} {x.score.recall} {x.score.order} {x.score.teds} {x.error}"
        for x in m
    )
