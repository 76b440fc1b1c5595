"""What every page needs: who is signed in and where in the tree they are."""


def navigation(request):
    return {}
